"""What does a worker pay for the size of its study? Targets with 10,000 trials, CPU on an idle core: a slot
taken below 0.5 s, a decision to stop below 0.1 s, all slots created within 2 s.

    python -m benchmarks.queue_scale --trials 500 1500 --trials 9000 1000

A study is written to SQLite (`benchmarks.recorded`), so many of its slots finished and so many waiting; printed
are CPU seconds of what a worker calls: what it reads when it starts, and the median of five calls after.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe
from benchmarks.recorded import fill, spec_of
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.optuna_private.queueing import Queued, enqueue
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.spec.codec import digest
from reprtune.spec.sections.search import SAMPLERS
from reprtune.spec.stop_rules import Median
from reprtune.stopping.curves import Standing
from reprtune.stopping.rungs import should_stop
from reprtune.stopping.stretches import stretches_of
from reprtune.study.queueing import fill_new, refill
from reprtune.work.queue import Queue, queues

LEASE = {"worker": "w", "host": "h", "device": "cpu"}


def seconds(call: Callable[[], Any], times: int = 5) -> float:
    """Median CPU seconds."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return statistics.median(found)


def calls(queue: Queue) -> dict[str, Callable[[], Any]]:
    """What a worker does between trainings."""

    def decide() -> None:
        rates, standard = stretches_of(queue.spec.base.training, 50), queue.standard()
        rivals = queue.rivals(0, 0, with_cost=True)
        should_stop(Median(), Standing(2500, 0.2, 3000.0, stretches=rates, standard=standard), rivals)

    return {
        "take": lambda: queue.take("w", LEASE),
        "decide": decide,
        "reap": queue.reap,
        "refill": lambda: refill(queue.view),
    }


def row(folder: Path, finished: int, waiting: int, sampler: str) -> str:
    storage = open_storage(f"sqlite:///{folder / 'x.db'}")
    filled = fill(storage, finished)
    assert filled.search is not None
    search = replace(filled.search, sampler=sampler, slots=finished + waiting)
    spec = filled.with_section(search)
    slots = [Queued({"slot": slot}) for slot in range(finished, finished + waiting)]
    enqueue(storage, storage.get_study_id_from_name(spec.name), slots)
    queue = next(one for one in queues(StudyView(storage, spec.name)) if one.section.is_drawn)
    queue = replace(queue, spec=spec, section=search)
    cells = [f"start {seconds(queue.trials, 1):.2f}"]
    cells += [f"{name} {seconds(call):.3f}" for name, call in calls(queue).items()]
    return f"{finished:>6} finished, {waiting:>6} waiting, {sampler}: " + ", ".join(cells)


def create(folder: Path, n: int) -> str:
    storage, spec = open_storage(f"sqlite:///{folder / 'y.db'}"), spec_of(n)
    study = StudyRecord(spec=spec, digest=digest(spec), facts={}, created=0.0, version="0")
    view = StudyView(storage, spec.name)
    return f"{n:>6} slots created in {seconds(lambda: stored.create(storage, study, lambda: fill_new(view, study)), 1):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, nargs=2, action="append", metavar=("FINISHED", "WAITING"))
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe")
    given = parser.parse_args()
    print(describe(torch.device("cpu")), "CPU seconds:", sep="\n")
    for finished, waiting in given.trials or [(500, 1500)]:
        with tempfile.TemporaryDirectory() as folder:
            print(create(Path(folder), finished + waiting))
            print(row(Path(folder), finished, waiting, given.sampler), flush=True)


if __name__ == "__main__":
    main()
