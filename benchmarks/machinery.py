"""What does the study's machinery cost a trial? Target: less than 1 % of a trial of 10 seconds.

    python -m benchmarks.machinery --rounds 5

A worker runs one slot a round, on SQLite, with states, journal, heartbeat and plots, as `study run` has
it. What it spends outside of training and evaluating is the machinery: taking the slot, drawing its
parameters, storing a state per epoch, writing the journal and the page of plots, telling the outcome.
Sending the journal to MLflow is the launcher's work, beside the training, and is not counted. Neither is
what a process pays once: imports, loading the data.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from reprtune.settings import Settings
from reprtune.spec.edit import changed
from reprtune.spec.sections.search import Search
from reprtune.spec.space import FloatRange
from reprtune.spec.stop_rules import NoStop
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.study.create import create_study
from reprtune.training.chain.chain import Chain
from reprtune.training.platform.device import choose_device, keep_freed_memory
from reprtune.work.process import WorkerMessage
from reprtune.work.worker import Worker


class NoLimit:
    """Tickets for every slot there is."""

    def take(self) -> bool:
        return True

    def give_back(self) -> None:
        pass


def study(epochs: int, rounds: int) -> StudySpec:
    """RePr on digits at the paper's lengths; the learning rate is drawn, so that nothing is shared."""
    base = changed(TrialSpec(), {"training.total": f"{epochs}ep"})
    return StudySpec(
        name="machinery", question="-", decision="-", cost="-", base=base,
        sections=(
            Search(space={"training.lr": FloatRange(low=0.01, high=0.1)}, stop=NoStop(), slots=rounds),
        ),
    )  # fmt: skip


def work(settings: Settings) -> list[tuple[float, float]]:
    """(seconds from the beginning of a slot to that of the next, seconds of training and evaluating) of
    every slot but the first, in which a process pays what it pays once, and the last."""
    runs: list[Chain] = []
    begun: list[float] = []

    def note(what: WorkerMessage) -> None:
        run = worker.held[-1].run if what.kind == "begin" else None
        if run is not None:
            runs.append(run)
            begun.append(time.perf_counter())

    worker = Worker(settings, "machinery", 0, NoLimit(), note, lambda: False)
    worker.run()
    whole = [after - before for before, after in itertools.pairwise(begun)]
    return [(seconds, run.seconds_spent) for seconds, run in zip(whole, runs, strict=False)][1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="trials that are counted")
    parser.add_argument(
        "--epochs", type=int, default=100, help="length of a trial; the default has S1 = 20, S2 = 10"
    )
    arguments = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(runs_dir=Path(folder), device="cpu")
        create_study(study(arguments.epochs, arguments.rounds + 2), settings)
        rounds = work(settings)
    cost = [whole - training for whole, training in rounds]
    rows = {
        "trial_seconds": statistics.median(whole for whole, _ in rounds),
        "machinery_seconds": statistics.median(cost),
        "machinery_seconds_range": [min(cost), max(cost)],
        "share_of_10_seconds": statistics.median(cost) / 10,
        "rounds": len(rounds),
        "machine": describe(choose_device("cpu")),
    }
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
