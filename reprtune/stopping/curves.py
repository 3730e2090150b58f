"""What is compared: the curves of other trials, and where the trial stands that is judged.

*Notations*
    step    optimizer steps done so far
    rung    a step at which the trial is its full network just before its next drop, not before its
            first full cycle; then every cycle length
    e       error of the trial at the rung
    c       planned cost of the whole training, known before its end
    e_i     error of rival i at the same step, linear between its own comparable points
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Rival:
    """Another trial of the study.

    Attributes:
        curve: its (step, error) where it can be compared, steps increasing; may be empty.
        cost: its planned final cost, or None in a study of one objective.
    """

    curve: Curve
    cost: float | None = None


@dataclass(frozen=True)
class Standing:
    """A trial at one of its rungs.

    Attributes:
        step: of the rung. error: there, a number.
        cost: its planned final cost in a study of several objectives; None with one objective.
        earlier: its own rungs before this one. total: its length in steps, None where nobody knows.
    """

    step: int
    error: float
    cost: float | None
    earlier: Sequence[int] = ()
    total: int | None = None


def error_at(curve: Curve, step: int) -> float | None:
    """The curve's error at `step`, linear between points; None outside its points.

    An error that is not finite counts as infinite, and so does all between it and its neighbours.
    """
    right = bisect_left(curve, step, key=lambda point: point[0])
    if right == len(curve) or (right == 0 and curve[0][0] != step):
        return None
    step_1, error_1 = curve[right]
    if step_1 == step:
        return _worst_if_not_finite(error_1)
    step_0, error_0 = curve[right - 1]
    if not (math.isfinite(error_0) and math.isfinite(error_1)):
        return math.inf
    return error_0 + (error_1 - error_0) * (step - step_0) / (step_1 - step_0)


def comparable(rivals: Sequence[Rival], step: int) -> list[tuple[float, float | None]]:
    """(error, cost) of those whose points reach from at or before the step to at or after it."""
    return [(e, rival.cost) for rival in rivals if (e := error_at(rival.curve, step)) is not None]


def _worst_if_not_finite(error: float) -> float:
    return error if math.isfinite(error) else math.inf
