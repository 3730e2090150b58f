"""The connection of a thread to Optuna's database: that of the lock, where it holds one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from optuna.storages import RDBStorage
from sqlalchemy import Connection


@contextlib.contextmanager
def reading(storage: RDBStorage) -> Iterator[Connection]:
    """To look, and not to write: under a lock without a savepoint, which costs two answers of the server."""
    bound = storage.scoped_session().get_bind()
    if isinstance(bound, Connection):
        yield bound
    else:
        with connected(storage) as connection:
            yield connection


@contextlib.contextmanager
def connected(storage: RDBStorage) -> Iterator[Connection]:
    """One transaction, which is a part of that of the lock."""
    session = storage.scoped_session()
    try:
        yield session.connection()
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()
