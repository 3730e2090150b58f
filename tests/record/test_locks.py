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

MINIMIZE = [StudyDirection.MINIMIZE]


def lease(monkeypatch: pytest.MonkeyPatch, heartbeat: int, grace: int) -> None:
    """Of who opens a storage or waits for a lock from here on; whoever did so before keeps its own."""
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", str(heartbeat))
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", str(grace))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    lease(monkeypatch, 1, 60)


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
        assert here.poll(120) and here.recv() == "held"
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


def lock_once(url: str, name: str) -> None:
    with opened(url) as storage, study_lock(storage, name):
        pass


def studies(url: str) -> set[str]:
    with opened(url) as storage:
        return {study.study_name for study in storage.get_all_studies()}


def test_postgresql_throws_a_stopped_holder_out(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its grace period, with all it has done under the lock; it notices when it comes back, and writes
    nothing."""
    url = postgresql.new()
    lease(monkeypatch, 1, 2)
    with stopped_holder(url, "one") as (pid, sent):
        lease(monkeypatch, 1, 60)
        lock_once(url, "one")
        os.kill(pid, signal.SIGCONT)
        assert sent.poll(60) and "cannot be used" in sent.recv()
    assert studies(url) == set()


def test_beside_sqlite_a_stopped_holder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock cannot be taken from it safely: after twice the grace period it is said who has it and what to do.
    Other studies do not wait, and once it goes on, so does everybody."""
    url = f"sqlite:///{tmp_path}/x.db"
    with stopped_holder(url, "one") as (pid, sent):
        lock_once(url, "two")
        lease(monkeypatch, 1, 2)
        with pytest.raises(StorageError, match=f"held by process {pid} on .*, which is stopped") as raised:
            lock_once(url, "one")
        assert f"kill -CONT {pid}" in str(raised.value.hint)
        os.kill(pid, signal.SIGCONT)
        assert sent.poll(60) and sent.recv() == "done"
        lock_once(url, "one")
    assert studies(url) == {"early", "late"}


def test_a_holder_in_postgresql_is_named(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is at work for long is not thrown out: who waits says who it is, and what to do. Other studies do not
    wait."""
    url = postgresql.new()
    with opened(url) as storage, study_lock(storage, "one"):
        lease(monkeypatch, 1, 2)
        lock_once(url, "two")
        with pytest.raises(StorageError, match=f":{os.getpid()} on this machine") as raised:
            lock_once(url, "one")
        assert "pg_terminate_backend" in str(raised.value.hint)
        assert storage.get_all_studies() == []


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


def ask(storage: RDBStorage, question: str) -> Any:
    return storage.scoped_session().execute(sqlalchemy.text(question)).scalar_one()


def test_the_clock_under_the_lock_is_that_of_its_taking(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beats are stamped with it: one stamped with the beginning of a long wait would look old at once."""
    url = postgresql.new()
    lease(monkeypatch, 30, 60)

    def taken() -> Any:
        with opened(url) as storage, study_lock(storage, "one"):
            return ask(storage, "SELECT now()")

    with ThreadPoolExecutor() as pool, opened(url) as storage:
        with study_lock(storage, "one"):
            waiting = pool.submit(taken)
            while not ask(
                storage, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ):
                time.sleep(0.01)
            freed = ask(storage, "SELECT clock_timestamp()")
        assert waiting.result() > freed
