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
from reprtune.spec.branch import Branch
from reprtune.spec.parts.schedules import Cycles, Phase, Schedule
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.parts.behaviour import module_of
from reprtune.training.parts.schedules import Event, tenths
from reprtune.training.parts.schedules.cycles import cycles

Stage = Literal["full", "sub"]
FULL: Stage = "full"
CYCLE_ENDS = ("restore", "exchange", "renew")  # the last of them with its number ends a cycle
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
    `training.segment` counted from step 0, so that trials of different schedules agree. With a branch: what its trunk
    has up to the point, then what the changed trial has from there on.

    Raises:
        SpecError: the cycles do not fit the total, or a phase is shorter than one step; or the branch does not go
            with what it leaves.
    """
    fork = find_fork(spec, steps_per_epoch)
    if fork is None:
        return _unbranched(spec, steps_per_epoch)
    return (*fork.before, *fork.later)


def _unbranched(spec: TrialSpec, steps_per_epoch: int, *more_cuts: int) -> tuple[Item, ...]:
    """The plan of a trial as it is without a branch, cut at some more steps."""
    spec.check_fits(steps_per_epoch)
    total = spec.training.total.steps(steps_per_epoch)
    length = max(1, spec.training.segment.steps(steps_per_epoch))
    inner = (cut for cut in more_cuts if 0 < cut < total)
    cuts = sorted({*range(length, total, length), *rungs(spec, steps_per_epoch), *inner})
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


# -- branches ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fork:
    """Where a branch leaves its trunk.

    Attributes:
        step: optimizer steps done there. before, later: what is done up to there, and from there on.
    """

    step: int
    before: tuple[Item, ...]
    later: tuple[Item, ...]


def find_fork(spec: TrialSpec, steps_per_epoch: int) -> Fork | None:
    """Where the trial's branch leaves the trunk; None without a branch.

    Raises:
        SpecError: the trunk has no state there, the changed trial would have nothing left to do, or what it is to go on
            with is not what the trunk leaves.
    """
    if spec.branch is None:
        return None
    _check_ends(spec)
    trunk = _unbranched(spec.trunk, steps_per_epoch)
    if spec.branch.cycle is None:
        step = spec.branch.length.steps(steps_per_epoch)
        sides = (spec.trunk, spec.after)
        # What is recorded of a step with an exchange is what the members are after it: it belongs to the steps before.
        passed = any(
            event.kind == "exchange" and event.stop == step
            for side in sides
            for event in events(side, steps_per_epoch)
        )
    else:
        step, passed = _end_of_cycle(spec.branch, trunk), True
    if not any(isinstance(item, Segment) and item.stop == step for item in trunk):
        raise _no_state(spec.branch, step, trunk)
    total = spec.after.training.total
    if step >= total.steps(steps_per_epoch):
        raise SpecError(
            f"branch.at = {spec.branch.at} must be before the end of what is trained then, training.total = {total}.",
            "Take an earlier point, or change training.total to a longer one.",
        )
    changed = _unbranched(spec.after, steps_per_epoch, step)
    before = tuple(item for item in trunk if _is_before(item, step, passed=passed))
    already = tuple(item for item in changed if _is_before(item, step, passed=passed))
    _check_meets(spec, before, already)
    return Fork(step, before, changed[len(already) :])


def _is_before(item: Item, step: int, *, passed: bool) -> bool:
    """Is it done before the branch? With `passed`, also what happens at the very step, but for the end of a trial."""
    if isinstance(item, Segment) or (passed and item.kind != "end"):
        return item.stop <= step
    return item.stop < step


def _end_of_cycle(branch: Branch, trunk: tuple[Item, ...]) -> int:
    """The step after which the cycle, or period, or generation, is over."""
    ends = {i.cycle + 1: i.stop for i in trunk if isinstance(i, Event) and i.kind in CYCLE_ENDS}
    if branch.cycle not in ends:
        has = f"ends cycles 1 to {max(ends)}" if ends else "has no cycles that end before it does"
        raise SpecError(
            f"branch.at must be the end of a cycle of the trunk, which {has}, but got {branch.at}.",
            "Name one of them, or a length of training such as 20ep.",
        )
    return ends[branch.cycle]


def _no_state(branch: Branch, step: int, trunk: tuple[Item, ...]) -> SpecError:
    stops = sorted({item.stop for item in trunk if isinstance(item, Segment)})
    near = [
        max((s for s in stops if s < step), default=None),
        min((s for s in stops if s > step), default=None),
    ]
    return SpecError(
        f"branch.at must be where a segment of the trunk ends, but {branch.at} is step {step}, within one or after its "
        "last.",
        f"The nearest are: {', '.join(f'{stop}it' for stop in near if stop is not None)}.",
    )


def _check_ends(spec: TrialSpec) -> None:
    """Where a criterion ends a trial is known only when it is trained."""
    for side in (spec.trunk, spec.after):
        if isinstance(side.method.schedule, Phase) and side.method.schedule.until_distance is not None:
            raise SpecError(
                "A trial that a criterion may end has no branches, but method.until_distance = "
                f"{side.method.schedule.until_distance}.",
                "Leave method.until_distance out, so that it is trained to its total.",
            )


def _check_meets(spec: TrialSpec, before: tuple[Item, ...], already: tuple[Item, ...]) -> None:
    """What is under way at the point must be what the changed trial is to go on with."""
    assert spec.branch is not None
    ours, theirs = _under_way(before), _under_way(already)
    if ours != theirs:
        left, wanted = (f"is in what a {kind} began" if kind else "is whole" for kind in (ours, theirs))
        raise SpecError(
            f"The network of the trunk {left} at {spec.branch.at}, but with branch.changes it {wanted} there.",
            "Take a point between two cycles, such as cycle=1, or a schedule that has the same there.",
        )
    for place in ("drop", "gradient", "selection") if ours else ():
        old, new = (getattr(side.method, place) for side in (spec.trunk, spec.after))
        if old != new:
            raise SpecError(
                f"branch.changes cannot change method.{place} at {spec.branch.at}, where a {ours} has begun what only the "
                "old one can go on with.",
                "Take a point between two cycles, such as cycle=1.",
            )


def _under_way(items: tuple[Item, ...]) -> str:
    """The kind of event whose effect lasts after these; empty where the network is whole."""
    kinds = [i.kind for i in items if isinstance(i, Event) and i.kind in ("begin", "drop", "restore")]
    return kinds[-1] if kinds and kinds[-1] != "restore" else ""


# -- what happens -----------------------------------------------------------------------------------


def events(spec: TrialSpec, steps_per_epoch: int) -> tuple[Event, ...]:
    """What the method's schedule lets happen, in its order, and what is done once after the last step."""
    if spec.branch is not None:
        return tuple(item for item in plan(spec, steps_per_epoch) if isinstance(item, Event))
    method, total = spec.method, spec.training.total.steps(steps_per_epoch)
    found: tuple[Event, ...] = ()
    if method.schedule is not None:
        found = _module(method.schedule).events(method.schedule, method, total, steps_per_epoch)
    return found if method.ending is None else (*found, Event("end", total, 0))


def rungs(spec: TrialSpec, steps_per_epoch: int) -> tuple[int, ...]:
    """Steps at which the trial may be compared with others, and stopped: as its schedule has them. Without one,
    every tenth of the total, in whole segments."""
    if (fork := find_fork(spec, steps_per_epoch)) is not None:
        ours, theirs = (rungs(side, steps_per_epoch) for side in (spec.trunk, spec.after))
        return (*(s for s in ours if s <= fork.step), *(s for s in theirs if s > fork.step))
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
    if (fork := find_fork(spec, steps_per_epoch)) is not None:
        ours, theirs = (trial_rates(side, steps_per_epoch) for side in (spec.trunk, spec.after))
        return np.concatenate([ours[: fork.step], theirs[fork.step :]])
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
