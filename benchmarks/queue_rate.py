"""How many slots per second do workers take, draw and tell who do nothing else? With 1, 2, 4 and 8 processes, each
with a connection of its own.

    python -m benchmarks.queue_rate --workers 1 2 4 8
    python -m benchmarks.queue_rate --storage postgresql+psycopg://... --studies 2

The database at the URL is to be an empty one; without a URL it is a new SQLite file. With several studies the
workers share them out among themselves.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe
from benchmarks.recorded import spec_of
from reprtune.record import storage as stored
from reprtune.record.database import open_storage, retried
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.spec.codec import digest
from reprtune.study.queueing import fill_new, refill
from reprtune.work.queue import queues

RUNGS = (1500, 3000, 4500)
LEASE = {"worker": "w", "host": "h", "device": "cpu"}


def create(url: str, name: str, n: int) -> None:
    spec = replace(spec_of(n), name=name)
    study = StudyRecord(
        spec=spec,
        digest=digest(spec),
        facts={"steps_per_epoch": 50, "total_steps": 5000},
        created=1.0,
        version="0",
    )
    storage = open_storage(url)
    view = StudyView(storage, name)
    stored.create(storage, study, lambda: fill_new(view, study))
    storage.engine.dispose()


def work(url: str, name: str, together: Any) -> None:
    """Take, draw and end the slots of a search until none is left, with rungs between; look for further ones after
    each: all that a worker asks of the database."""
    view = StudyView(open_storage(url), name)
    queue = next(one for one in queues(view) if one.section.is_drawn)
    together.wait()
    while (trial := retried(lambda: queue.take("w", LEASE))) is not None:
        queue.admits(trial)
        for n in range(1, 1 + len(RUNGS)):
            trial.set_user_attr("rungs", {"points": [[step, 0.5] for step in RUNGS[:n]]})
            queue.rivals(trial.user_attrs["slot"], 0, with_cost=True)
        trial.set_user_attr("result", {"outcome": "complete"})
        queue.tell(trial, "complete", [0.5] * len(queue.section.objectives))
        retried(lambda: refill(view))


def seconds(url: str, names: list[str], n_workers: int) -> float:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(n_workers + 1, timeout=120)
    workers = [
        context.Process(target=work, args=(url, names[index % len(names)], together))
        for index in range(n_workers)
    ]
    for worker in workers:
        worker.start()
    together.wait()
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--storage", metavar="URL")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--slots", type=int, default=100, help="of all studies together")
    parser.add_argument("--studies", type=int, default=1)
    given = parser.parse_args()
    print(describe(torch.device("cpu")))
    with tempfile.TemporaryDirectory() as folder:
        url = given.storage or f"sqlite:///{Path(folder, 'x.db')}"
        for n_workers in given.workers:
            names = [f"rate-{n_workers}-{study}" for study in range(given.studies)]
            for name in names:
                create(url, name, given.slots // given.studies)
            rate = given.slots / seconds(url, names, n_workers)
            print(f"{n_workers} workers, {given.studies} studies: {rate:.1f} slots per second", flush=True)


if __name__ == "__main__":
    main()
