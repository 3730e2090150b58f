"""The lock of a study, under which its slots are queued and taken: one process at a time, whoever asks.

In PostgreSQL the lock is held by one transaction in which everything under it is done. A holder that is stopped or
cut off is thrown out by the server after the grace period, its transaction undone and its lock free; when it comes
back it finds its connection closed and begins anew, so nothing is written twice. Beside SQLite the lock is a file,
which cannot be taken from a stopped process: others wait for a time, then say who holds it. Other databases go
without, and rely on their own row locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, Engine

from reprtune.record.away import OF_DATABASE, StorageAway, in_words, is_away
from reprtune.settings import lease_seconds

PREPARING_SECONDS = (
    300  # for what is done once: a study with its place in a tracker, the tables of a database
)
LOCK_TIMEOUT = "55P03"  # PostgreSQL's code of it
TABLES = ".tables"  # in place of a study's name
HOLDER = """
SELECT application_name, client_addr, pid, state FROM pg_stat_activity WHERE pid IN (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND (classid::bigint << 32) + objid::bigint = :key
)
"""


@contextlib.contextmanager
def study_lock(storage: RDBStorage, name: str, *, preparing: bool = False) -> Iterator[None]:
    """Hold the lock of a study. Freed when its holder dies.

    Studies whose names are alike up to the first dot share one, for a section of one of them may be stored under
    the name of another.

    Args:
        preparing: it may be held for minutes.

    Raises:
        StorageAway: others held it for too long, or it was lost: nothing of what was done under it has come
            about in PostgreSQL.
    """
    key, engine = name.partition(".")[0], storage.engine
    if engine.url.get_backend_name() == "sqlite" and engine.url.database:
        with _file_lock(engine.url.database, key, preparing=preparing):
            yield
    elif engine.url.get_backend_name() == "postgresql":
        with _away_in_words(), _transaction(engine, key, preparing=preparing) as connection:
            storage.scoped_session.remove()
            storage.scoped_session(bind=connection, join_transaction_mode="create_savepoint")
            try:
                yield
            finally:
                storage.scoped_session.remove()
    else:
        yield


@contextlib.contextmanager
def tables_lock(url: URL, engine: Engine) -> Iterator[None]:
    """Hold the lock under which the tables of a database are made, Optuna's or MLflow's: both break where several
    processes begin at once.

    Args:
        engine: of the URL, with a connection to spare.
    """
    if url.get_backend_name() == "sqlite" and url.database:
        with _file_lock(url.database, TABLES, preparing=True):
            yield
    elif url.get_backend_name() == "postgresql":
        with _transaction(engine, TABLES, preparing=True):
            yield
    else:
        yield


@contextlib.contextmanager
def _away_in_words() -> Iterator[None]:
    try:
        yield
    except OF_DATABASE as error:
        if is_away(error):
            raise in_words(error) from error
        raise


def _wait_seconds(*, preparing: bool) -> float:
    """How long to wait for others."""
    return PREPARING_SECONDS if preparing else 2.0 * lease_seconds()[1]


# -- PostgreSQL -------------------------------------------------------------------------------------


def lock_key(name: str) -> int:
    """The number by which PostgreSQL knows a lock of ours."""
    return int.from_bytes(hashlib.sha256(f"reprtune {name}".encode()).digest()[:7], "big")


@contextlib.contextmanager
def _transaction(engine: Engine, name: str, *, preparing: bool) -> Iterator[Connection]:
    """A transaction that holds the lock, and is committed at the end.

    It waits in short pieces, between which other threads of the process can use its one connection, and say that
    the process lives."""
    until = time.monotonic() + _wait_seconds(preparing=preparing)
    while True:
        with engine.connect() as connection:
            if _acquired(connection, lock_key(name)):
                if preparing:
                    limit = f"SET LOCAL idle_in_transaction_session_timeout = '{PREPARING_SECONDS}s'"
                    connection.execute(text(limit))
                yield connection
                connection.commit()
                return
            connection.rollback()
            if time.monotonic() > until:
                raise StorageAway(*_held_in_postgresql(connection, name))
        time.sleep(0.01)


def _acquired(connection: Connection, key: int) -> bool:
    """Take the lock for the transaction; False when others have held it for `lock_timeout`."""
    of_key = {"key": key}
    if connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), of_key).scalar():
        return True
    try:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), of_key)
    except sqlalchemy.exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_TIMEOUT:
            return False
        raise
    connection.execute(text("COMMIT AND CHAIN"))  # its clock stands still from its beginning, before the wait
    connection.execute(text("SELECT pg_advisory_xact_lock(:key), pg_advisory_unlock(:key)"), of_key)
    return True


def _held_in_postgresql(connection: Connection, name: str) -> tuple[str, str]:
    found = connection.execute(text(HOLDER), {"key": lock_key(name)}).first()
    if found is None:
        return f"The lock of {name!r} was always held by others.", "Try again, or run fewer workers on it."
    program, address, pid, state = found
    return (
        f"The lock of {name!r} is held by {program or 'a process'} on {address or 'this machine'} ({state}).",
        (
            f"Look at that process; or end its connection in the database: SELECT pg_terminate_backend({pid}). The "
            "same command goes on."
        ),
    )


# -- SQLite -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _file_lock(database: str, name: str, *, preparing: bool) -> Iterator[None]:
    folder = Path(f"{database}.locks")
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = filelock.FileLock(folder / f"{name}.lock"), folder / f"{name}.holder"
    try:
        lock.acquire(timeout=_wait_seconds(preparing=preparing), poll_interval=0.01)
    except filelock.Timeout as error:
        raise StorageAway(*_held_in_file(holder, name)) from error
    try:
        holder.write_text(f"{os.getpid()} {platform.node()}")
        yield
    finally:
        lock.release()


def _held_in_file(holder: Path, name: str) -> tuple[str, str]:
    with contextlib.suppress(OSError, ValueError):
        pid, host = holder.read_text().split()
        state = ""
        if host == platform.node():
            with contextlib.suppress(psutil.Error):
                state = f", which is {psutil.Process(int(pid)).status()}"
        return (
            f"The lock of {name!r} is held by process {pid} on {host}{state}.",
            (
                f"Let it go on (kill -CONT {pid}) or end it (kill -9 {pid}), then the same command goes on. With "
                "PostgreSQL a stopped process holds nobody up."
            ),
        )
    return f"The lock of {name!r} was always held by others.", "Try again, or run fewer workers on it."
