"""Early stopping: a trial is compared only at its rungs, with the others at the same step.

*Notations*
    step    optimizer steps done so far
    rung    a step at which the trial is its full network just before its next drop, not before its
            first full cycle; then every cycle length
    e       error of the trial at the rung
    c       planned cost of the whole training, known before its end
    e_i     error of other trial i at the same step, linear between its own comparable points
    n       number of comparable others: those whose points reach from at or before the step to at or
            after it; with fewer than `min_comparable` the trial goes on
    q       the share that goes on: 1/2 for `median`, `percentile`/100, 1/`reduction_factor` for
            `successive-halving`, 1 for `none`
    T, f    length of the trial in steps, `reduction_factor`

**When.** `median` and `percentile` judge at every rung. `successive-halving` judges once per level T/f, T/f^2,
...: at the first rung at or after it, and once where several levels lie between two rungs. Nobody waits:
the trial is compared with those who have been there (asynchronous, as ASHA, Li et al., arXiv 1810.05934),
so that the first to arrive go on.

**One objective.** Stopped when e is above the q-quantile of the e_i, linear between neighbours. A tie goes on.

**Several objectives.** The n + 1 vectors (e, c) are sorted into non-dominated fronts. In this order:

1. in the worst tenth by error, stopped, on the front or not: 10 * (1 + #{e_i >= e}) <= n + 1
   (a cheap network that learns nothing is no answer; ties and fewer than ten trials protect);
2. on the first front, goes on;
3. otherwise stopped when more than q n of the others are better: a better front, or the same front
   and a smaller error. A tie goes on.

Why rungs: curves of methods that drop filters look like saws, and comparing them at different phases
stops good trials. The sort per rung is that of MO-ASHA (Schmucker et al., arXiv 2106.12639).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from reprtune.spec.stop_rule import StopRule
from reprtune.stopping.dominance import ranks

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


def should_stop(
    rule: StopRule,
    step: int,
    error: float,
    cost: float | None,
    others: Sequence[Other],
    *,
    earlier: Sequence[int] = (),
    total: int | None = None,
) -> bool:
    """Whether the trial that has `error` at its rung `step` is to be stopped.

    Args:
        cost: its planned final cost in a study of several objectives; None with one objective.
        others: with several seeds per trial, the others' curves of the same seed.
        earlier: the trial's own rungs before this one. total: its length in steps. Both are for
            `successive-halving` alone, which without a total judges at every rung.

    Raises:
        ValueError: when `error` is not a number, or `cost` is given but another trial's is missing.
    """
    if math.isnan(error):
        raise ValueError("error must be a number at a rung, but is NaN: that trial has diverged.")
    if not _is_judged(rule, step, earlier, total):
        return False
    comparable = [(e, other.cost) for other in others if (e := error_at(other.curve, step)) is not None]
    if len(comparable) < rule.min_comparable:
        return False
    errors = [e for e, _ in comparable]
    if cost is None:
        return error > _quantile(errors, rule.kept_share)
    if any(c is None for _, c in comparable):
        raise ValueError("Every other trial needs a cost when this one has one.")
    points: list[tuple[float, float]] = [(error, cost), *comparable]  # type: ignore[list-item]
    return _in_worst_tenth(error, errors) or _is_behind(points, rule.kept_share)


def _is_judged(rule: StopRule, step: int, earlier: Sequence[int], total: int | None) -> bool:
    """Whether the rule looks at this rung at all."""
    if rule.rule != "successive-halving" or total is None:
        return rule.rule != "none"
    if step <= 0:
        return False  # before every level
    power = factor = round(1 / rule.kept_share)  # of the highest level at or before the step: total / power
    while step * power < total:
        power *= factor
    return all(rung * power < total for rung in earlier if rung < step)


def _quantile(values: Sequence[float], share: float) -> float:
    """Linear between the sorted values, so that 0.5 gives the median; infinite values are allowed."""
    ordered = sorted(values)
    # Rounded, so that a third of nine neighbours is the third one and a tie with it goes on.
    place = round((len(ordered) - 1) * share, 9)
    low, part = int(place), place % 1
    if part == 0 or math.isinf(ordered[low]):
        return ordered[low]
    return ordered[low] + part * (ordered[low + 1] - ordered[low])


def _in_worst_tenth(error: float, errors: Sequence[float]) -> bool:
    not_better = sum(e >= error for e in errors)
    return 10 * (1 + not_better) <= 1 + len(errors)


def _is_behind(points: Sequence[tuple[float, float]], share: float) -> bool:
    """Whether more than `share` of the others are before the first of the (error, cost)."""
    fronts = ranks(points)
    if fronts[0] == 0:
        return False
    own = (fronts[0], points[0][0])
    better = sum((front, error) < own for front, (error, _) in zip(fronts[1:], points[1:], strict=True))
    return better > round(share * (len(points) - 1), 9)


def _worst_if_not_finite(error: float) -> float:
    return error if math.isfinite(error) else math.inf
