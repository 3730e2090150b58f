"""What happens when: segments of training, and the drops and restores between them."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reprtune.errors import SpecError
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

ONE_CYCLE_FIRST = 1 / 25  # share of the peak in the first step; what torch's OneCycleLR takes unless told
ONE_CYCLE_LAST = 1e-4  # share of the first in the last step; the same


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


def restarts(spec: TrialSpec, steps_per_epoch: int) -> tuple[int, ...]:
    """Steps at which the learning rate begins anew: the restores, where `method.restore_lr` says so."""
    if spec.method.restore_lr == "continue":
        return ()
    s1, s2 = spec.method.cycle_steps(steps_per_epoch)
    total = spec.training.total.steps(steps_per_epoch)
    return tuple(at for c in range(spec.method.cycles) if (at := (c + 1) * (s1 + s2)) < total)


def learning_rates(
    training: TrainingSpec, steps_per_epoch: int, restarts: Sequence[int] = ()
) -> NDArray[np.float64]:
    """Learning rate of every step, (total,).

    Args:
        restarts: steps, increasing, at which the schedule begins anew; each piece is a whole schedule over
            its own length.

    Raises:
        SpecError: a period is shorter than one step.
    """
    period = training.lr_period.steps(steps_per_epoch)
    if training.lr_schedule == "cyclic" and period < 1:
        raise SpecError(
            f"training.lr_period must be at least one step, but {training.lr_period} is none "
            f"({steps_per_epoch} steps per epoch).",
            "Raise training.lr_period.",
        )
    ends = [0, *restarts, training.total.steps(steps_per_epoch)]
    pieces = [_piece(training, stop - start, period) for start, stop in itertools.pairwise(ends)]
    return training.lr * np.concatenate(pieces)


def _piece(training: TrainingSpec, total: int, period: int) -> NDArray[np.float64]:
    """Factor of the peak learning rate in every step of a schedule that is `total` long."""
    step = np.arange(total, dtype=np.float64)
    if training.lr_schedule == "constant":
        return np.ones(total)
    if training.lr_schedule == "cosine":
        return _fall(step / total)
    if training.lr_schedule == "cyclic":
        return _fall(step % period / period)
    if training.lr_schedule == "one-cycle":
        return _one_cycle(step, training.lr_warmup)
    passed = np.searchsorted(np.array(training.lr_milestones), step / total, side="right")
    return training.lr_gamma ** passed.astype(np.float64)


def _fall(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half a cosine, from 1 at 0 to 0 at 1."""
    return 0.5 * (1 + np.cos(math.pi * share))


def _one_cycle(step: NDArray[np.float64], warmup: float) -> NDArray[np.float64]:
    """From 1/25 up to 1 and down to 1/250,000 in the last step, both as half a cosine; where the way up is
    shorter than a step it begins at 1."""
    peak, last = max(warmup * len(step) - 1, 0.0), len(step) - 1
    up = 1 - _fall(step / peak) if peak > 0 else np.ones(len(step))
    down = _fall((step - peak) / (last - peak)) if last > peak else np.ones(len(step))
    lowest = ONE_CYCLE_FIRST * ONE_CYCLE_LAST
    rising = ONE_CYCLE_FIRST + (1 - ONE_CYCLE_FIRST) * up
    falling: NDArray[np.float64] = np.where(step <= peak, rising, lowest + (1 - lowest) * down)
    return falling
