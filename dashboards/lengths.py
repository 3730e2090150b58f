"""How long the trials of a study are, in words."""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.study import StudySpec


def lengths(spec: StudySpec, steps_per_epoch: int) -> str:
    """Planned steps of each network of a trial: `1,600`, or `96 to 192` where an arm has a total of its own."""
    steps = [total.steps(steps_per_epoch) for total in ends(spec, steps_per_epoch)]
    return " to ".join(f"{n:,}" for n in steps)


def ends(spec: StudySpec, steps_per_epoch: int) -> list[Duration]:
    """The shortest and the longest total; one where all are as long."""
    totals = [spec.base.training.total, *(trial.after.training.total for _, _, trial in spec.arm_cells())]
    by_steps = {total.steps(steps_per_epoch): total for total in reversed(totals)}
    return [by_steps[n] for n in sorted({min(by_steps), max(by_steps)})]
