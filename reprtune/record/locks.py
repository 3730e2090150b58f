"""The lock under which slots are queued and taken, studies made and removed: one at a time, whoever asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import filelock
import sqlalchemy
from optuna.storages import RDBStorage

LOCK_KEY = 0x72657072  # "repr", PostgreSQL's advisory lock


@contextlib.contextmanager
def database_lock(storage: RDBStorage) -> Iterator[None]:
    """Hold the database's one lock: a file beside SQLite, an advisory lock in PostgreSQL. Both are
    freed when their holder dies. Other databases go without, and rely on their own row locks."""
    backend = storage.engine.url.get_backend_name()
    if backend == "sqlite" and storage.engine.url.database:
        with filelock.FileLock(f"{storage.engine.url.database}.lock"):
            yield
    elif backend == "postgresql":
        with storage.engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
            try:
                yield
            finally:
                connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
    else:
        yield
