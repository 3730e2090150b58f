"""A study in SQLite and in a real PostgreSQL, and several at work on it at the same moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage

from reprtune.record.database import open_storage
from reprtune.record.view import StudyView
from reprtune.study.queueing import refill
from reprtune.work.queue import Queue, queues
from tests.work.queueing import end, take

KILLED = -signal.SIGKILL  # exit code of a process that was ended by kill -9


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """A new file, and the URL of an empty database."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql").new())
    return tmp_path / "x.db"


def url_of(storage: RDBStorage) -> str:
    return storage.engine.url.render_as_string(hide_password=False)


def all_at_once(url: str, n: int, call: Callable[[RDBStorage], Any]) -> list[Any]:
    """What `n` threads, each with a connection of its own, get from calls that begin together."""
    together, found = threading.Barrier(n), list[Any]()

    def one() -> None:
        storage = open_storage(url)
        together.wait()
        found.append(call(storage))
        storage.engine.dispose()

    threads = [threading.Thread(target=one) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == n, "one of them has failed"
    return found


def kill_minus_9(*_: Any) -> None:
    """The end of this process, which nothing in it hears of."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(call: Callable[[], Any]) -> int | None:
    """The exit code of a forked process that does so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
        process = multiprocessing.get_context("fork").Process(target=call)
        process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
    return process.exitcode


def refill_once(storage: RDBStorage) -> int:
    """By somebody who has just come."""
    return refill(StudyView(storage, "tiny"))


def queue_of(storage: RDBStorage, section: str) -> Queue:
    return next(q for q in queues(StudyView(storage, "tiny")) if q.section.name == section)


def finish(queue: Queue, *errors: float | str) -> None:
    """End the next slots with these errors, or outcomes, without training."""
    for error in errors:
        trial = take(queue)
        if isinstance(error, str):
            end(queue, trial, error)
        else:
            end(queue, trial, values=[error, 2.0][: len(queue.section.objectives)])
