"""What can be told of a study when it is created, of what its trials are likely to miss."""

from __future__ import annotations

from reprtune.spec.study import StudySpec
from reprtune.training.chain.foreseen import foreseen


def foreseen_in(spec: StudySpec, steps_per_epoch: int) -> list[str]:
    """Warnings, each in a line: of every arm, and of the search as far as its base says."""
    trials = {f"The arm {arm}": trial for arm, _, trial in spec.arm_cells()}
    if spec.search is not None:
        trials["The search, with what it does not vary"] = spec.base
    return [f"{name}: {line}" for name, trial in trials.items() for line in foreseen(trial, steps_per_epoch)]
