"""What happens when: segments of training, and the drops and restores between them."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec


@dataclass(frozen=True)
class Segment:
    """Training from step `start` to `stop`, of the whole network or of the sub-network."""

    start: int
    stop: int
    phase: Literal["full", "sub"]
    cycle: int


@dataclass(frozen=True)
class Event:
    """A drop or restore at `stop` optimizer steps."""

    kind: Literal["drop", "restore"]
    stop: int
    cycle: int


Item = Segment | Event


def plan(spec: TrialSpec, steps_per_epoch: int) -> tuple[Item, ...]:
    """The whole trial: cycles of (full S1, drop, sub S2, restore), then the full network to the end.

    Where nothing is left after the last cycle the trial ends as the sub-network: what would be restored
    there would never be trained or measured.

    Raises:
        SpecError: the cycles do not fit the total, or a phase is shorter than one step.
    """
    spec.check_fits(steps_per_epoch)
    total = spec.training.total.steps(steps_per_epoch)
    length = max(1, spec.training.segment.steps(steps_per_epoch))
    # Counted from step 0, so that trials of different S1 agree; and an evaluation at every rung.
    cuts = sorted({*range(length, total, length), *rungs(spec, steps_per_epoch)})
    s1, s2 = spec.method.cycle_steps(steps_per_epoch)
    items: list[Item] = []
    at = 0
    for cycle in range(spec.method.cycles):
        items += _segments(at, at + s1, cuts, "full", cycle)
        items += [Event("drop", at + s1, cycle), *_segments(at + s1, at + s1 + s2, cuts, "sub", cycle)]
        at += s1 + s2
        if at < total:
            items.append(Event("restore", at, cycle))
    return (*items, *_segments(at, total, cuts, "full", spec.method.cycles))


def _segments(
    start: int, stop: int, cuts: list[int], phase: Literal["full", "sub"], cycle: int
) -> list[Segment]:
    inner = cuts[bisect.bisect_right(cuts, start) : bisect.bisect_left(cuts, stop)]
    return [Segment(a, b, phase, cycle) for a, b in itertools.pairwise([start, *inner, stop]) if a < b]


def rungs(spec: TrialSpec, steps_per_epoch: int) -> tuple[int, ...]:
    """Steps at which the trial may be compared with others: the whole network just before the second
    and each later drop (never before the first full cycle), then every cycle length."""
    s1, s2 = spec.method.cycle_steps(steps_per_epoch)
    total = spec.training.total.steps(steps_per_epoch)
    if spec.method.cycles == 0:
        return ()
    return tuple(range(s1 + s2 + s1, total, s1 + s2))


def learning_rates(training: TrainingSpec, steps_per_epoch: int) -> NDArray[np.float64]:
    """Learning rate of every step, (total,)."""
    total = training.total.steps(steps_per_epoch)
    share = np.arange(total) / total
    if training.lr_schedule == "constant":
        factor = np.ones(total)
    elif training.lr_schedule == "cosine":
        factor = 0.5 * (1 + np.cos(math.pi * share))
    else:
        passed = np.searchsorted(np.array(training.lr_milestones), share, side="right")
        factor = training.lr_gamma ** passed.astype(np.float64)
    return training.lr * factor
