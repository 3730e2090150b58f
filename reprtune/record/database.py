"""The database that holds the studies: opened, with its errors in words."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from reprtune.errors import StorageError
from reprtune.passwords import ENCODE, hide, hide_in, learn
from reprtune.settings import lease_seconds

CONNECT_SECONDS = 10
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
    """Connect to the database, making its tables where they are absent.

    Raises:
        StorageError: naming the URL, what is wrong and how to mend it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    parsed = _parsed(url)
    path = _file(parsed)
    heartbeat, grace = lease_seconds()
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with experimental_allowed():
            storage = RDBStorage(
                for_optuna(url),
                engine_kwargs=_engine_arguments(parsed),
                heartbeat_interval=heartbeat,
                grace_period=grace,
            )
    except (NoSuchModuleError, ImportError) as error:
        raise StorageError(
            f"The storage {hide(url)} needs a driver that is not installed: {_first_line(error)}",
            "For PostgreSQL, in the checkout: pip install -e '.[postgresql]' -c constraints.txt",
        ) from error
    except (SQLAlchemyError, OSError, RuntimeError, AssertionError) as error:
        hide_in(error)
        raise _cannot_open(url, _first_line(error)) from error
    if path is not None:
        sqlalchemy.event.listen(storage.engine, "connect", _tune_sqlite)
        storage.engine.dispose()
    return storage


def for_optuna(url: str) -> str:
    """The URL as Optuna takes it, which reads one as a template: a brace in a password or path is doubled."""
    return url.replace("{", "{{").replace("}", "}}")


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


def _engine_arguments(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}
    if url.get_driver_name() in ("psycopg", "psycopg2"):
        return {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}
    return {"pool_pre_ping": True}


def _cannot_open(url: str, why: str) -> StorageError:
    unread = ENCODE if re.search("password|host name|resolve", why) else ""
    return StorageError(
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


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def retried(call: Callable[[], T], *, attempts: int = 6, wait: Callable[[float], None] = time.sleep) -> T:
    """Call again, with growing pauses, while the database is out of reach (half a minute, and longer where
    every attempt has to wait for it).

    Raises:
        StorageError: it stayed out of reach.
    """
    for attempt in range(attempts):
        try:
            return call()
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if attempt == attempts - 1:
                hide_in(error)
                cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
                raise StorageError(
                    f"The storage cannot be used: {_first_line(cause)}",
                    "Nothing is lost: when it is back, the same command goes on.",
                ) from error
            wait(2.0**attempt)
    raise AssertionError("unreachable")
