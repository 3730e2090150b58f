"""What happens when: segments of training, and the events between them."""

from __future__ import annotations

import bisect
import importlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reprtune.errors import SpecError
from reprtune.spec.parts.schedules import Cycles, Phase, Schedule
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.parts.behaviour import module_of
from reprtune.training.parts.schedules import Event, tenths
from reprtune.training.parts.schedules.cycles import cycles

Stage = Literal["full", "sub"]
FULL: Stage = "full"
ONE_CYCLE_FIRST = 1 / 25  # share of the peak in the first step; what torch's OneCycleLR takes unless told
ONE_CYCLE_LAST = 1e-4  # share of the first in the last step; the same


@dataclass(frozen=True)
class Segment:
    """Training from step `start` to `stop`, of the whole network or of the sub-network."""

    start: int
    stop: int
    phase: Stage
    cycle: int


Item = Segment | Event


def plan(spec: TrialSpec, steps_per_epoch: int) -> tuple[Item, ...]:
    """The whole trial: segments of training, cut where something happens, at every rung, and after each
    `training.segment` counted from step 0, so that trials of different schedules agree.

    Raises:
        SpecError: the cycles do not fit the total, or a phase is shorter than one step.
    """
    spec.check_fits(steps_per_epoch)
    total = spec.training.total.steps(steps_per_epoch)
    length = max(1, spec.training.segment.steps(steps_per_epoch))
    cuts = sorted({*range(length, total, length), *rungs(spec, steps_per_epoch)})
    items: list[Item] = []
    at, phase, cycle = 0, FULL, 0
    stays = isinstance(spec.method.schedule, Phase)  # what is dropped never comes back: the network is so
    for event in events(spec, steps_per_epoch):
        items += [*_segments(at, event.stop, cuts, phase, cycle), event]
        at, phase = event.stop, "sub" if event.kind == "drop" and not stays else FULL
        cycle = event.cycle if event.kind in ("begin", "drop") else event.cycle + 1
    return (*items, *_segments(at, total, cuts, phase, cycle))


def _segments(start: int, stop: int, cuts: list[int], phase: Stage, cycle: int) -> list[Segment]:
    inner = cuts[bisect.bisect_right(cuts, start) : bisect.bisect_left(cuts, stop)]
    return [Segment(a, b, phase, cycle) for a, b in itertools.pairwise([start, *inner, stop]) if a < b]


def events(spec: TrialSpec, steps_per_epoch: int) -> tuple[Event, ...]:
    """What the method's schedule lets happen, in its order, and what is done once after the last step."""
    method, total = spec.method, spec.training.total.steps(steps_per_epoch)
    found: tuple[Event, ...] = ()
    if method.schedule is not None:
        found = _module(method.schedule).events(method.schedule, method, total, steps_per_epoch)
    return found if method.ending is None else (*found, Event("end", total, 0))


def rungs(spec: TrialSpec, steps_per_epoch: int) -> tuple[int, ...]:
    """Steps at which the trial may be compared with others, and stopped: as its schedule has them. Without one,
    every tenth of the total, in whole segments."""
    schedule, total = spec.method.schedule, spec.training.total.steps(steps_per_epoch)
    segment = max(1, spec.training.segment.steps(steps_per_epoch))
    if schedule is None:
        return tenths(total, segment)
    found: tuple[int, ...] = _module(schedule).rungs(schedule, segment, total, steps_per_epoch)
    return found


def trial_rates(spec: TrialSpec, steps_per_epoch: int) -> NDArray[np.float64]:
    """Learning rate of every step of a trial, (total,): its schedule's, begun anew at each restore, or times a
    factor once more from each restore on, if `method.restore_lr` says so.

    Raises:
        SpecError: a period is shorter than one step.
    """
    rates = learning_rates(spec.training, steps_per_epoch, restarts(spec, steps_per_epoch))
    rules = spec.method.restore_rules
    if rules is None or rules.restore_lr != "scaled":
        return rates
    passed = np.searchsorted(_restores(spec, steps_per_epoch), np.arange(len(rates)), side="right")
    return rates * rules.restore_lr_scale ** passed.astype(np.float64)


def restarts(spec: TrialSpec, steps_per_epoch: int) -> tuple[int, ...]:
    """Steps at which the learning rate begins anew: the restores and new generations, or where restores would be,
    if `method.restore_lr` says so."""
    rules = spec.method.restore_rules
    is_anew = rules is not None and rules.restore_lr == "restart"
    return _restores(spec, steps_per_epoch) if is_anew else ()


def _restores(spec: TrialSpec, steps_per_epoch: int) -> tuple[int, ...]:
    """Steps of the restores and new generations, or where restores would be."""
    schedule = spec.method.schedule
    total = spec.training.total.steps(steps_per_epoch)
    if isinstance(schedule, Cycles) and spec.method.selection is None:
        found = cycles(schedule, total, steps_per_epoch)  # where they would be
    else:
        found = events(spec, steps_per_epoch)
    return tuple(event.stop for event in found if event.kind in ("restore", "renew"))


def _module(schedule: Schedule) -> ModuleType:
    """What knows when the schedule lets what happen."""
    return importlib.import_module(module_of(schedule))


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
