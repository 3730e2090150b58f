"""Errors of a database that may go away by themselves, in words."""

from __future__ import annotations

import optuna
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reprtune.errors import StorageError

OF_DATABASE = (SQLAlchemyError, optuna.exceptions.StorageInternalError)
AWAY = (OperationalError, InterfaceError, PoolTimeout, PendingRollbackError)
CROWDED = ("too many clients", "remaining connection slots", "too many connections", "QueuePool limit")
THROWN_OUT = "idle-in-transaction timeout"
GO_ON = "Nothing is lost: when it is back, the same command goes on."
FEWER = "Raise max_connections on the server, or run fewer workers: a run takes one connection and one for each worker."


class StorageAway(StorageError):  # noqa: N818 - it is not there just now
    """The database cannot be used just now, and another try may find it well."""


def is_away(error: BaseException) -> bool:
    """Is the database out of reach, restarted, crowded or locked? Not so where it has understood and refused."""
    if isinstance(error, StorageAway):
        return True
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    closed = isinstance(cause, DBAPIError) and cause.connection_invalidated  # by the server, for instance
    return closed or isinstance(cause, AWAY)


def is_crowded(error: BaseException) -> bool:
    """Does it give no connection because others have all?"""
    return any(words in str(error) for words in CROWDED)


def is_thrown_out(error: BaseException) -> bool:
    """Has the server ended our transaction because nothing of us came for long? All of it is undone."""
    return THROWN_OUT in first_line(error)


def in_words(error: BaseException) -> StorageError:
    """As a StorageError; a `StorageAway` where waiting may help."""
    if isinstance(error, StorageError):
        return error
    text = first_line(error)
    if is_crowded(error):
        return StorageAway(f"The database has no free connection: {text}", FEWER)
    kind = StorageAway if is_away(error) else StorageError
    return kind(f"The storage cannot be used: {text}", GO_ON)


def first_line(error: BaseException) -> str:
    """What a driver says, without what SQLAlchemy and Optuna add to it."""
    if isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return text.splitlines()[0]
