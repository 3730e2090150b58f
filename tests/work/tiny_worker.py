"""A worker in this process, on the tiny study."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.study.create import find_facts
from reprtune.study.queueing import fill_new
from reprtune.training.chain.chain import LoadedData
from reprtune.training.platform.device import choose_device
from reprtune.work.process import Known, WorkerMessage
from reprtune.work.queue import Queue, queues
from reprtune.work.worker import Worker
from tests.flat import with_fields
from tests.stored import empty_storage, record
from tests.tiny_study import STUDY

LOADED_DATA = LoadedData(Path("nowhere"), choose_device("cpu"))


class Unlimited:
    def take(self) -> bool:
        return True

    def give_back(self) -> None:
        pass


class Counted:
    def __init__(self, n: int) -> None:
        self.n = n

    def take(self) -> bool:
        self.n -= 1
        if self.n < 0:
            self.n = 0
            return False
        return True

    def give_back(self) -> None:
        self.n += 1


def create(folder: Path, *, storage: str | None = None, spec: StudySpec = STUDY, **changes: Any) -> Settings:
    """A runs folder with the tiny study, or another of its name, some fields of it changed, and no MLflow; or that
    study in a storage."""
    spec = with_fields(spec, **changes) if changes else spec
    settings = Settings(runs_dir=folder, storage=storage, device="cpu")
    database = empty_storage(folder / "reprtune.db") if storage is None else open_storage(storage)
    new = replace(record(spec), facts=find_facts(spec, LOADED_DATA))
    stored.create(database, new, lambda: fill_new(StudyView(database, spec.name), new))
    database.engine.dispose()
    return settings


def make_worker(
    settings: Settings,
    *,
    tickets: Any = None,
    heard: Callable[[WorkerMessage], None] = lambda _: None,
    leaving: Callable[[], bool] = lambda: False,
    index: int = 0,
    known: Known | None = None,
    accept_code: bool = False,
) -> Worker:
    return Worker(
        settings, STUDY.name, index, tickets or Unlimited(), heard, leaving,
        known=known, accept_code=accept_code,
    )  # fmt: skip


def work(settings: Settings, **options: Any) -> StudyRecord:
    """Chain a worker to its end; the study as it then is."""
    worker = make_worker(settings, **options)
    worker.run()
    worker.storage.engine.dispose()
    return read(settings)


def work_together(settings: Settings, n: int, seconds: float = 120) -> StudyRecord:
    """Chain so many workers at once to their end; the study as it then is.

    Forked, for starting torch anew takes longer than the study, and threads cannot share torch.export."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work_apart, args=(settings, index)) for index in range(n)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
        for worker in workers:
            worker.start()
    for worker in workers:
        worker.join(seconds)
        if worker.exitcode is None:
            worker.kill()
    assert [worker.exitcode for worker in workers] == [0] * n
    return read(settings)


def _work_apart(settings: Settings, index: int) -> None:
    make_worker(settings, index=index).run()


def read(settings: Settings) -> StudyRecord:
    storage = open_storage(settings.storage_url)
    try:
        return stored.read_study(storage, STUDY.name)
    finally:
        storage.engine.dispose()


def both_queues(settings: Settings) -> list[Queue]:
    storage = open_storage(settings.storage_url)
    return queues(StudyView(storage, "tiny"))


def settled(study: StudyRecord) -> dict[tuple[str | None, int], tuple[Any, ...]]:
    """(arm, slot) -> what its trial came to, without times and places."""
    return {
        (t.arm, t.slot): (t.outcome, dict(t.params), t.values, [p.val_loss for p in t.history.points])
        for t in (*study.trials, *study.controls)
        if t.history is not None
    }
