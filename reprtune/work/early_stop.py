"""Whether a trial is stopped at a rung: its section's rule, asked about the curves of the others as they are now."""

from __future__ import annotations

import optuna

from reprtune.record.database import retried
from reprtune.record.trials import REPEATS
from reprtune.stopping.curves import Standing
from reprtune.stopping.rungs import should_stop
from reprtune.work.queue import Queue
from reprtune.work.seed_training import SeedTraining


def is_hopeless(queue: Queue, trial: optuna.Trial, training: SeedTraining, step: int) -> bool:
    """Does the rule stop the trial, whose training has come to its rung at `step`?"""
    section, run = queue.section, training.done
    if not section.stops_early:
        return False
    if REPEATS in trial.user_attrs:
        return False  # nobody else has its seeds
    several = len(section.objectives) > 1
    slot = int(trial.user_attrs["slot"])
    rivals = retried(lambda: queue.rivals(slot, training.spec.seed, several))
    standard = retried(queue.standard)
    return should_stop(
        section.stop,
        Standing(
            step,
            run.networks.points[-1].val_error,
            training.planned_gflops() if several else None,
            earlier=[rung for rung in run.rungs if rung < step],
            total=run.total_steps,
            stretches=training.stretches,
            standard=standard,
        ),
        rivals,
    )
