"""The lock of a study: held by processes that are stopped, cut off or killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from reprtune.errors import StorageError
from reprtune.record.database import open_storage
from reprtune.record.locks import study_lock
from tests.postgres import PostgreSQL

GRACE = 2  # seconds
MINIMIZE = [StudyDirection.MINIMIZE]


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", str(GRACE))


def hold(url: str, name: str, pipe: Any) -> None:
    """Make the study `late` under the lock of a study, stopping in the middle of it."""
    storage = open_storage(url)
    try:
        with study_lock(storage, name):
            storage.create_new_study(MINIMIZE, "early")
            pipe.send("held")
            os.kill(os.getpid(), signal.SIGSTOP)
            storage.create_new_study(MINIMIZE, "late")
        pipe.send("done")
    except StorageError as error:
        pipe.send(str(error))


@contextmanager
def stopped_holder(url: str, name: str) -> Iterator[tuple[int, Any]]:
    """The number of a process that is stopped while it holds the lock, and what it sends."""
    open_storage(url).engine.dispose()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=hold, args=(url, name, there))
    process.start()
    assert process.pid is not None
    try:
        assert here.poll(60) and here.recv() == "held"
        yield process.pid, here
    finally:
        process.kill()
        process.join()


@contextmanager
def opened(url: str) -> Iterator[RDBStorage]:
    storage = open_storage(url)
    try:
        yield storage
    finally:
        storage.engine.dispose()


def seconds_to_lock(url: str, name: str) -> float:
    with opened(url) as storage:
        begun = time.monotonic()
        with study_lock(storage, name):
            return time.monotonic() - begun


def studies(url: str) -> set[str]:
    with opened(url) as storage:
        return {study.study_name for study in storage.get_all_studies()}


def test_postgresql_throws_a_stopped_holder_out(postgresql: PostgreSQL) -> None:
    """After the grace period, with all it has done under the lock; it notices when it comes back, and writes
    nothing. Other studies do not wait at all."""
    url = postgresql.new()
    with stopped_holder(url, "one") as (pid, sent):
        assert seconds_to_lock(url, "two") < 1.5
        assert seconds_to_lock(url, "one") < 2 * GRACE
        os.kill(pid, signal.SIGCONT)
        assert sent.poll(30) and "cannot be used" in sent.recv()
    assert studies(url) == set()


def test_beside_sqlite_a_stopped_holder_is_named(tmp_path: Path) -> None:
    """Its lock cannot be taken from it safely: after twice the grace period it is said who has it and what to do.
    Other studies do not wait, and once it goes on, so does everybody."""
    url = f"sqlite:///{tmp_path}/x.db"
    with stopped_holder(url, "one") as (pid, sent):
        assert seconds_to_lock(url, "two") < 1.5
        with pytest.raises(StorageError, match=f"held by process {pid} on .*, which is stopped") as raised:
            seconds_to_lock(url, "one")
        assert f"kill -CONT {pid}" in str(raised.value.hint)
        os.kill(pid, signal.SIGCONT)
        assert sent.poll(30) and sent.recv() == "done"
        assert seconds_to_lock(url, "one") < 1.5
    assert studies(url) == {"early", "late"}


def test_a_holder_in_postgresql_is_named(postgresql: PostgreSQL) -> None:
    """One that is at work for long is not thrown out: who waits says who it is, and what to do."""
    url = postgresql.new()
    with opened(url) as storage, ThreadPoolExecutor() as pool, study_lock(storage, "one"):
        waiting = pool.submit(seconds_to_lock, url, "one")
        while not waiting.done():
            storage.get_all_studies()
            time.sleep(0.2)
        error = waiting.exception()
    assert isinstance(error, StorageError) and f":{os.getpid()} on this machine" in error.message
    assert "pg_terminate_backend" in str(error.hint)


def fail_under_lock(storage: RDBStorage) -> None:
    with study_lock(storage, "one"):
        storage.create_new_study(MINIMIZE, "s")
        raise ZeroDivisionError


def test_what_fails_under_the_lock_has_not_been(postgresql: PostgreSQL) -> None:
    """In PostgreSQL all that is done under a lock is one transaction."""
    url = postgresql.new()
    with opened(url) as storage:
        with pytest.raises(ZeroDivisionError):
            fail_under_lock(storage)
        assert studies(url) == set()
        with study_lock(storage, "one"):
            storage.create_new_study(MINIMIZE, "s")
            assert studies(url) == set()
        assert studies(url) == {"s"}


def test_the_clock_under_the_lock_is_that_of_its_taking(postgresql: PostgreSQL) -> None:
    """Beats are stamped with it: one stamped with the beginning of a long wait would look old at once."""
    url = postgresql.new()
    age = sqlalchemy.text("SELECT extract(epoch FROM clock_timestamp() - now())")
    with stopped_holder(url, "one"), opened(url) as storage:
        begun = time.monotonic()
        with study_lock(storage, "one"):
            assert time.monotonic() - begun > 0.5, "there was a wait"
            assert storage.scoped_session().execute(age).scalar_one() < 0.3
