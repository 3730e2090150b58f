"""Stretches of the learning rate: how far a straight line between two points of a curve may reach.

*Notations*
    stretch     steps without a milestone between them
    milestone   a step before which the rate jumps: of the schedule `step`; where a cycle of a cyclic schedule begins;
                where a schedule begins anew or is scaled at a restore; where a new generation begins. The schedules
                `constant`, `cosine` and `one-cycle` have none of their own
    course      how the rate goes within a stretch, as text: its factor of the trial's own peak rate where that is
                constant, else the schedule with the steps that fix it. Where two trials have the same course at a
                step, they stand at the same factor of their peak rates

An error after s steps belongs to the stretch of step s - 1, the last one trained.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from reprtune.spec.training import TrainingSpec

Stretches = tuple[tuple[int, str], ...]  # (first step, course), in their order; none = one stretch


def stretches_of(
    training: TrainingSpec,
    steps_per_epoch: int,
    *,
    restarts: Sequence[int] = (),
    scaled: Sequence[int] = (),
    scale: float = 1.0,
    renewals: Sequence[int] = (),
) -> Stretches:
    """The stretches of a trial.

    Args:
        restarts: steps at which the schedule begins anew, for what is left until the next one.
        scaled: from each of these steps on the rate has the factor `scale` once more.
        renewals: where new generations begin.
    """
    total = training.total.steps(steps_per_epoch)
    period = max(1, training.lr_period.steps(steps_per_epoch))
    ends = sorted({0, *(at for at in restarts if 0 < at < total), total})
    plain = [one for start, stop in pairwise(ends) for one in _piece(training, start, stop, period)]
    more = [at for at in (*scaled, *renewals) if 0 < at < total]
    found: list[tuple[int, str]] = []
    for at in sorted({*(start for start, _, _ in plain), *more}):
        _, factor, words = plain[bisect_left(plain, at + 1, key=lambda one: one[0]) - 1]
        course = _course(factor * scale ** _passed(scaled, at), words, _passed(renewals, at))
        if not found or found[-1][1] != course:
            found.append((at, course))
    return tuple(found)


def around(stretches: Stretches, step: int) -> tuple[float, float, str]:
    """The stretch in which the error after so many steps was measured: it has the errors after more than the
    first and at most the second number of steps; and its course."""
    after = bisect_left(stretches, step, key=lambda one: one[0]) - 1
    start = stretches[after][0] if after > 0 else -math.inf
    until = stretches[after + 1][0] if after + 1 < len(stretches) else math.inf
    return start, until, stretches[max(after, 0)][1] if stretches else ""


def _piece(training: TrainingSpec, start: int, stop: int, period: int) -> Iterator[tuple[int, float, str]]:
    """(first step, factor, words of a rate that is not constant) of a schedule that is not begun anew."""
    length, kind = stop - start, training.lr_schedule
    if kind == "step":
        firsts = [0, *(_first(share, length) for share in training.lr_milestones)]
        yield from ((start + at, training.lr_gamma**k, "") for k, at in enumerate(firsts) if at < length)
    elif kind == "cyclic":
        yield from ((at, 1.0, f"cyclic {at}+{period}") for at in range(start, stop, period))
    elif kind == "cosine":
        yield start, 1.0, f"cosine {start}-{stop}"
    elif kind == "one-cycle":
        yield start, 1.0, f"one-cycle {training.lr_warmup:g} {start}-{stop}"
    else:
        yield start, 1.0, ""


def _first(share: float, length: int) -> int:
    """The first step at or after this share of the length, in the same rounding as the training has."""
    near = range(max(0, math.floor(share * length) - 1), length + 1)
    return next((step for step in near if step / length >= share), length)


def _passed(steps: Sequence[int], at: int) -> int:
    return sum(step <= at for step in steps)


def _course(factor: float, words: str, generation: int) -> str:
    parts = [
        words,
        "" if words and factor == 1 else f"{factor:g}",
        f"generation {generation}" if generation else "",
    ]
    return ", ".join(part for part in parts if part)
