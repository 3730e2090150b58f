"""What is compared: the curves of other trials, and where the trial stands that is judged.

*Notations*
    step    optimizer steps done so far
    rung    a step at which the trial is its full network just before its next drop, not before its
            first full cycle; then every cycle length
    e       error of the trial at the rung
    c       planned cost of the whole training, known before its end
    e_i     error of rival i at the same step
    R       curve of plain training (`standard`), where there is one of the same learning rates
    d_i     e_i - R at one of the rival's own comparable points

**With R**, where the rates of both trials are those of R: e_i = R + d_i, and d_i is linear between the rival's points.
Of a rival that was stopped, d_i stays what it was at its last point, for the rules that count it at later steps:
otherwise later rungs would be judged against ever better survivors.

**Without R**, e_i is linear between two points of the rival with no milestone between them, its own or the judged
trial's, and only where both trials stand at the same factor of their own peak rates (`stretches`). A point at that
very step needs no line.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from reprtune.stopping.stretches import Stretches, around

Curve = Sequence[tuple[int, float]]


class Standard(Protocol):
    """The curve of plain training."""

    @property
    def stretches(self) -> Stretches: ...

    def at(self, step: int) -> float | None:
        """Its error after so many steps; None where that is not known."""


@dataclass(frozen=True)
class Rival:
    """Another trial of the study.

    Attributes:
        curve: its (step, error) where it can be compared, steps increasing; may be empty.
        cost: its planned final cost, or None in a study of one objective.
        stretches: of its learning rate. is_stopped: was it stopped after the last point?
    """

    curve: Curve
    cost: float | None = None
    stretches: Stretches = ()
    is_stopped: bool = False


@dataclass(frozen=True)
class Standing:
    """A trial at one of its rungs.

    Attributes:
        step: of the rung. error: there, a number.
        cost: its planned final cost in a study of several objectives; None with one objective.
        earlier: its own rungs before this one. total: its length in steps, None where nobody knows. Both are for
            rules that pass rungs over, which without a total judge at every rung.
        stretches: of its learning rate; none = it has no milestones. standard: R; None without one.
    """

    step: int
    error: float
    cost: float | None = None
    earlier: Sequence[int] = ()
    total: int | None = None
    stretches: Stretches = ()
    standard: Standard | None = None


class Beside:
    """The errors of others at the step of one trial, as the notations say.

    Args:
        step, stretches: of the trial. standard: R.
        counts_stopped: does a stopped rival count at later steps?
    """

    def __init__(
        self, step: int, stretches: Stretches, standard: Standard | None, *, counts_stopped: bool = False
    ) -> None:
        self._step, self._stretches, self._counts_stopped = step, stretches, counts_stopped
        is_its = standard is not None and standard.stretches == stretches
        self._standard = standard if is_its else None
        self._plain = standard.at(step) if standard is not None and is_its else None
        self._room: dict[Stretches, tuple[float, float] | None] = {}

    def error_of(self, rival: Rival) -> float | None:
        """None where the rival cannot be compared."""
        if self._plain is not None and rival.stretches == self._stretches:
            found = self._by_difference(rival, self._plain)
            if found is not None:
                return found
        if rival.stretches not in self._room:
            self._room[rival.stretches] = self._shared(rival.stretches)
        room = self._room[rival.stretches]
        return None if room is None else error_at(rival.curve, self._step, *room)

    def _by_difference(self, rival: Rival, plain: float) -> float | None:
        assert self._standard is not None
        curve, step = rival.curve, self._step
        right = bisect_left(curve, step, key=lambda point: point[0])
        if right == len(curve):
            if not (self._counts_stopped and rival.is_stopped and curve):
                return None
            right -= 1
            left = right
        else:
            left = right if curve[right][0] == step else right - 1
        if left < 0:
            return None
        (step_0, error_0), (step_1, error_1) = curve[left], curve[right]
        plain_0, plain_1 = self._standard.at(step_0), self._standard.at(step_1)
        if plain_0 is None or plain_1 is None:
            return None
        if not (math.isfinite(error_0) and math.isfinite(error_1)):
            return math.inf
        part = 0.0 if left == right else (step - step_0) / (step_1 - step_0)
        if step_1 == step:
            return error_1
        return plain + (error_0 - plain_0) + (error_1 - plain_1 - error_0 + plain_0) * part

    def _shared(self, stretches: Stretches) -> tuple[float, float] | None:
        """Between which steps a line to a rival's points may reach; None where its course is another one."""
        after, until, course = around(self._stretches, self._step)
        its_after, its_until, its_course = around(stretches, self._step)
        return (max(after, its_after), min(until, its_until)) if course == its_course else None


def error_at(curve: Curve, step: int, after: float = -math.inf, until: float = math.inf) -> float | None:
    """The curve's error at `step`, linear between points; None outside its points.

    An error that is not finite counts as infinite, and so does all between it and its neighbours.

    Args:
        after, until: between points beyond `after` and up to `until` only.
    """
    right = bisect_left(curve, step, key=lambda point: point[0])
    if right == len(curve) or (right == 0 and curve[0][0] != step):
        return None
    step_1, error_1 = curve[right]
    if step_1 == step:
        return _worst_if_not_finite(error_1)
    step_0, error_0 = curve[right - 1]
    if step_0 <= after or step_1 > until:
        return None
    if not (math.isfinite(error_0) and math.isfinite(error_1)):
        return math.inf
    return error_0 + (error_1 - error_0) * (step - step_0) / (step_1 - step_0)


def comparable(
    rivals: Sequence[Rival], standing: Standing, *, counts_stopped: bool = False
) -> list[tuple[float, float | None]]:
    """(error, cost) of those that can be compared with at this rung."""
    beside = Beside(standing.step, standing.stretches, standing.standard, counts_stopped=counts_stopped)
    return [(e, rival.cost) for rival in rivals if (e := beside.error_of(rival)) is not None]


def _worst_if_not_finite(error: float) -> float:
    return error if math.isfinite(error) else math.inf
