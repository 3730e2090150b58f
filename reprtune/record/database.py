"""The database that holds the studies: opened, with its errors in words."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reprtune.errors import StorageError
from reprtune.passwords import ENCODE, hide, hide_in, learn
from reprtune.record.away import (
    OF_DATABASE,
    StorageAway,
    first_line,
    in_words,
    is_away,
    is_crowded,
    is_thrown_out,
)
from reprtune.record.locks import PREPARING_SECONDS, tables_lock
from reprtune.settings import lease_seconds, storage_wait_seconds

CONNECT_SECONDS = 10
OPEN_SECONDS = 60  # of waiting for a free connection
LONGEST_PAUSE, PAUSES_UNSAID = 15.0, 2  # between two tries; a hiccup of some seconds is not worth a word
UNPOOLED = {"poolclass": NullPool}
ONE_CONNECTION = {"pool_size": 1, "max_overflow": 0}  # of all threads of a process together
# A connection through which nothing comes any more is given up after half a minute, by libpq and by the server.
ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
LOG = logging.getLogger(__name__)
Storage = RDBStorage  # for those who need its name and not Optuna
T = TypeVar("T")


def is_absent(url: str) -> bool:
    """Is it an SQLite file that is not there yet? Nothing is made by looking.

    Raises:
        StorageError: no file can be made there, or the URL is none.
    """
    path = _file(_parsed(url))
    if path is None or path.exists():
        return False
    above = next(folder for folder in path.resolve().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise _cannot_open(url, f"{above} is not a folder you can write to")
    return True


def open_storage(url: str) -> RDBStorage:
    """Connect to the database, making its tables where they are absent; where it has no free connection, wait
    for one. At most one connection to PostgreSQL is held, by all threads together.

    Raises:
        StorageError: naming the URL, what is wrong and how to mend it; a `StorageAway` where that may pass.
    """
    return retried(
        lambda: _open(url), seconds=OPEN_SECONDS, worth=lambda e: is_crowded(e) or is_thrown_out(e)
    )


def _open(url: str) -> RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)  # what it logs, it raises as well
    parsed = _parsed(url)
    path = _file(parsed)
    arguments = _engine_arguments(parsed, lease_seconds()[1])
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        _make_tables(parsed)
        pool = ONE_CONNECTION if parsed.get_backend_name() == "postgresql" else {}
        storage = _storage(
            parsed, {**arguments, **pool}, skip_table_creation=True, skip_compatibility_check=True
        )
        _check_version(storage, url)
    except (NoSuchModuleError, ImportError) as error:
        raise StorageError(
            f"The storage {hide(url)} needs a driver that is not installed: {first_line(error)}",
            "For PostgreSQL, in the checkout: pip install -e '.[postgresql]' -c constraints.txt",
        ) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        hide_in(error)
        if is_crowded(error):
            raise in_words(error) from error
        raise _cannot_open(url, first_line(error), StorageAway if is_away(error) else StorageError) from error
    except (OSError, RuntimeError, AssertionError) as error:
        raise _cannot_open(url, first_line(error)) from error
    if path is not None:
        sqlalchemy.event.listen(storage.engine, "connect", _tune_sqlite)
        storage.engine.dispose()
    return storage


def for_optuna(url: str) -> str:
    """The URL as Optuna takes it, which reads one as a template: a brace in a password or path is doubled."""
    return url.replace("{", "{{").replace("}", "}}")


def _storage(url: URL, arguments: Mapping[str, Any], **options: Any) -> RDBStorage:
    heartbeat, grace = lease_seconds()
    text = for_optuna(url.render_as_string(hide_password=False)).replace("%(", "%%(")
    with experimental_allowed():
        return RDBStorage(
            text, engine_kwargs=dict(arguments), heartbeat_interval=heartbeat, grace_period=grace, **options
        )


def _make_tables(url: URL) -> None:
    """Make Optuna's tables where there are none, or not all: one process at a time. It may take its time: on a busy
    machine Optuna reads its migrations for seconds in the middle of a transaction."""
    arguments = {**_engine_arguments(url, PREPARING_SECONDS), **UNPOOLED}
    engine = sqlalchemy.create_engine(url, **arguments)
    if _has_tables(engine):
        return
    with tables_lock(url, engine):
        if not _has_tables(engine):
            _storage(url, arguments)


def _has_tables(engine: Engine) -> bool:
    """Has somebody made Optuna's tables, to the last step of it?"""
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        if not {"alembic_version", "version_info"} <= {*tables}:
            return False
        return connection.execute(sqlalchemy.text("SELECT 1 FROM alembic_version")).first() is not None


def _check_version(storage: RDBStorage, url: str) -> None:
    there, here = storage.get_current_version(), storage.get_head_version()
    if there != here:
        raise StorageError(
            f"The storage {hide(url)} has tables of another version of Optuna: {there}, and here is {here}.",
            "Of an older one: optuna storage upgrade --storage URL (keep a copy). Of a newer one: update Optuna.",
        )


def _parsed(url: str) -> URL:
    try:
        learn(url)
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StorageError(
            f"The storage URL {hide(url)!r} is not of the form dialect://...",
            f"Write it like sqlite:///runs/reprtune.db or postgresql+psycopg://user@host/database. {ENCODE}",
        ) from None
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StorageError(
            f"The storage {url} lives in the memory of one process, which workers cannot see.",
            "Name a file: sqlite:///runs/reprtune.db.",
        )
    return parsed


def _file(url: URL) -> Path | None:
    """The file of an SQLite database."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _engine_arguments(url: URL, idle_seconds: int) -> dict[str, Any]:
    """Args: idle_seconds: how long we may be silent in the middle of a transaction."""
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}
    if url.get_backend_name() != "postgresql":
        return {"pool_pre_ping": True}
    arguments: dict[str, Any] = {
        "pool_pre_ping": True,
        "pool_events": [(partial(_bound_waits, idle_seconds), "connect")],
    }
    if url.get_driver_name() in ("psycopg", "psycopg2"):
        name = f"reprtune {platform.node()}:{os.getpid()}"
        arguments["connect_args"] = {"connect_timeout": CONNECT_SECONDS, "application_name": name, **ALIVE}
    return arguments


def _bound_waits(idle_seconds: int, connection: Any, _: Any) -> None:
    """Tell PostgreSQL, for this connection, when to give us up: where we are silent in the middle of a transaction,
    where we wait for others, and where the network is."""
    settings = {
        "idle_in_transaction_session_timeout": f"{idle_seconds}s",
        "lock_timeout": f"{lease_seconds()[0]}s",
        "tcp_keepalives_idle": ALIVE["keepalives_idle"],
        "tcp_keepalives_interval": ALIVE["keepalives_interval"],
        "tcp_keepalives_count": ALIVE["keepalives_count"],
        "tcp_user_timeout": ALIVE["tcp_user_timeout"],
    }
    cursor = connection.cursor()
    cursor.execute("SELECT " + ", ".join(f"set_config('{k}', '{v}', false)" for k, v in settings.items()))
    cursor.close()
    connection.commit()


def _cannot_open(url: str, why: str, kind: type[StorageError] = StorageError) -> StorageError:
    unread = ENCODE if re.search("password|host name|resolve", why) else ""
    return kind(
        f"Cannot open the storage {hide(url)}: {why}",
        "Check that the database runs, that it exists, and your rights in it; name another with "
        f"--storage or REPRTUNE_STORAGE. {unread}".rstrip(),
    )


@contextlib.contextmanager
def experimental_allowed() -> Iterator[None]:
    """Heartbeats and metric names are marked experimental in Optuna; we hold a tested version range."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed")  # we beat by ourselves
        yield


def _tune_sqlite(connection: Any, _: Any) -> None:
    """Readers beside a writer (WAL), and no wait for the disk at every small write: after a power cut
    the file is whole and may lack its last moments, after a killed process it lacks nothing."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def retried(
    call: Callable[[], T],
    *,
    seconds: float | None = None,
    worth: Callable[[BaseException], bool] = is_away,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call again, with growing pauses, while the database is out of reach. That it is, and that it is back, is
    logged.

    Args:
        seconds: how long to wait for it; None = as the environment says. worth: may another try find it well?

    Raises:
        StorageError: it stayed out of reach, or refuses.
    """
    limit = storage_wait_seconds() if seconds is None else seconds
    until = clock() + limit
    for attempt in itertools.count():
        try:
            found = call()
        except (StorageAway, *OF_DATABASE) as error:
            said, pause = in_words(error), min(2.0**attempt, LONGEST_PAUSE)
            hide_in(error)
            if not worth(error) or clock() + pause > until:
                raise said from error
            if attempt == PAUSES_UNSAID:
                LOG.warning("%s. Waiting for it, for at most %.0f s.", said.message.rstrip("."), limit)
            wait(pause)
        else:
            if attempt > PAUSES_UNSAID:
                LOG.warning("The storage answers again.")
            return found
    raise AssertionError("unreachable")
