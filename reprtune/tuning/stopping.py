"""Early stopping: a trial is compared only at its rungs, with the others at the same step.

*Notations*
    step    optimizer steps done so far
    rung    a step at which the trial is its full network just before its next drop, not before its
            first full cycle; then every cycle length
    e       error of the trial at the rung
    c       planned final cost of the trial (`train_gflops`), known before it begins
    e_i     error of other trial i at the same step, linear between its own comparable points
    n       number of comparable others: those whose points reach from at or before the step to at or
            after it

One objective, `median`: stopped when e > median(e_i). A tie goes on.

Several objectives, `median`: the n + 1 vectors (e, c) are sorted into non-dominated fronts. In this order:

1. in the worst tenth by error, stopped, on the front or not: 10 * (1 + #{e_i >= e}) <= n + 1
   (a cheap network that learns nothing is no answer; ties and fewer than ten trials protect);
2. on the first front, goes on;
3. otherwise stopped when more than half of the others are better: a better front, or the same front
   and a smaller error. A tie goes on.

Why rungs: curves of methods that drop filters look like saws, and comparing them at different phases
stops good trials. The sort per rung is that of MO-ASHA (Schmucker et al., arXiv 2106.12639).
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from reprtune.spec.dominance import ranks
from reprtune.spec.study import StopRule

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Other:
    """Another trial of the study.

    Attributes:
        curve: its (step, error) where it can be compared, steps increasing; may be empty.
        cost: its planned final cost, or None in a study of one objective.
    """

    curve: Curve
    cost: float | None = None


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


def should_stop(rule: StopRule, step: int, error: float, cost: float | None, others: Sequence[Other]) -> bool:
    """Whether the trial that has `error` at its rung `step` is to be stopped.

    Args:
        cost: its planned final cost in a study of several objectives; None with one objective.

    Raises:
        ValueError: when `error` is not a number, or `cost` is given but another trial's is missing.
    """
    if math.isnan(error):
        raise ValueError("error must be a number at a rung, but is NaN: that trial has diverged.")
    if rule.rule == "none":
        return False
    comparable = [(e, other.cost) for other in others if (e := error_at(other.curve, step)) is not None]
    if len(comparable) < rule.min_comparable:
        return False
    errors = [e for e, _ in comparable]
    if cost is None:
        return error > statistics.median(errors)
    if any(c is None for _, c in comparable):
        raise ValueError("Every other trial needs a cost when this one has one.")
    return _in_worst_tenth(error, errors) or _in_worse_half([(error, cost), *comparable])  # type: ignore[list-item]


def _in_worst_tenth(error: float, errors: Sequence[float]) -> bool:
    not_better = sum(e >= error for e in errors)
    return 10 * (1 + not_better) <= 1 + len(errors)


def _in_worse_half(points: Sequence[tuple[float, float]]) -> bool:
    """Whether the first of the (error, cost) has more than half of the others before it."""
    fronts = ranks(points)
    if fronts[0] == 0:
        return False
    own = (fronts[0], points[0][0])
    better = sum((front, error) < own for front, (error, _) in zip(fronts[1:], points[1:], strict=True))
    return 2 * better > len(points) - 1


def _worst_if_not_finite(error: float) -> float:
    return error if math.isfinite(error) else math.inf
