"""Plain training of other lengths as a curve of error over cost: the yardstick for whatever costs less, or more.

*Notations*

    j, c_j     a length of plain training, and what its training costs, a mean over its seeds
    e_js, m_j  error of length j with seed s, and the mean over its n_j seeds
    w_j(c)     weights of the two lengths around the cost c: (ln c - ln c_j) / (ln c_j+1 - ln c_j) and the rest. Errors fall by
               about as much with every doubling of a training, so between two lengths they are nearer to a straight line
               over ln c than over c; where they bend the line lies above them, by little where lengths are close
    curve(c)   sum_j w_j m_j from the shortest to the longest; never beyond them
    curve_s    the same of one seed: sum_j w_j e_js
    s, nu      sd of errors around the mean of their length, pooled over lengths, with nu = sum_j (n_j - 1)
    d_i        error of trial i minus curve(c_i). If nothing helps, sd(d_i) <= s r_i with r_i^2 = 1/k_i +
               (sum_j w_j / sqrt(n_j))^2, where k_i is the number of its seeds: the bound holds whatever the lengths
               have in common
    p          min(1, k P(t_nu < min_i d_i / (s r_i))): Bonferroni's bound for the lowest of k trials, of which the best
               are looked at because they are the best. It holds whatever errors of trials have in common; trials
               that were cut short might have been the best, and count. It takes for granted that errors of trials spread
               about as much over seeds as those of plain training

Dunnett 1955 compares many with one control by the same t, with a sharper bound for independent errors.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy import stats

from reprtune.analysis.attempts import deciding
from reprtune.analysis.front import front
from reprtune.analysis.level import ALPHA, LEVEL
from reprtune.analysis.paired import NO_SPREAD, Comparison, SeedValue, compared
from reprtune.analysis.runs import ROUNDING, chance_error, errors_on_test, errors_on_validation, mean_of
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.decisions import PLAIN
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import COST, ERROR
from reprtune.spec.study import StudySpec

Read = Callable[..., tuple[SeedValue, ...]]


@dataclass(frozen=True, kw_only=True)
class PlainLength:
    """One length of plain training. `half`: of the 95 % interval of its mean, from the pooled sd; None without one."""

    arm: str
    cost: float
    errors: tuple[SeedValue, ...]
    mean: float
    half: float | None = None


@dataclass(frozen=True, kw_only=True)
class PlainCurve:
    """At least two lengths, the cheapest first. sd, df: pooled; None and 0 where every length has one seed, or no spread."""

    lengths: tuple[PlainLength, ...]
    sd: float | None
    df: int

    @property
    def ends(self) -> tuple[float, float]:
        """The costs between which it says something."""
        return self.lengths[0].cost, self.lengths[-1].cost

    def weights(self, cost: float) -> tuple[tuple[PlainLength, float], ...]:
        """The lengths around a cost with their weights; none outside. Costs that differ by rounding are the same."""
        low, high = self.ends
        if not low / ROUNDING <= cost <= high * ROUNDING:
            return ()
        cost = min(max(cost, low), high)
        for left, right in zip(self.lengths, self.lengths[1:], strict=False):
            if cost <= right.cost:
                share = math.log(cost / left.cost) / math.log(right.cost / left.cost)
                return tuple((one, w) for one, w in ((left, 1 - share), (right, share)) if w > 0)
        return ()

    def at(self, cost: float) -> float | None:
        """Its error at a cost; None outside."""
        weights = self.weights(cost)
        return sum(w * one.mean for one, w in weights) if weights else None

    def of_seed(self, seed: int, cost: float) -> float | None:
        """The same of one seed's own curve; None outside, and where a length around the cost has not that seed."""
        weights = self.weights(cost)
        known = [w * e.value for one, w in weights for e in one.errors if e.seed == seed]
        return sum(known) if weights and len(known) == len(weights) else None


@dataclass(frozen=True, kw_only=True)
class FrontBesideCurve:
    """The front of the search beside the curve, by validation errors.

    Attributes:
        n: trials of the front. outside: of those, how many cost less or more than every length.
        below: how many lie below the curve. slot, most: the one that lies farthest below, and by how much.
        k: trials that might have been the best. p: of the most telling trial of the front (see *Notations*); None without
            a pooled sd, and where none lies below.
    """

    n: int
    outside: int
    below: int
    slot: int | None
    most: float
    k: int
    p: float | None

    @property
    def is_more_than_chance(self) -> bool:
        return self.p is not None and self.p < ALPHA


def plain_curve(record: StudyRecord) -> PlainCurve | None:
    """By validation errors of the arms; None with fewer than two lengths that have a complete run."""
    return _curve(record, record.controls, errors_on_validation)


def shorter(spec: StudySpec) -> tuple[str, ...]:
    """Arms that are plain training for less than `standard`: points of the curve, and no controls."""
    lengths = spec.lengths
    return tuple(arm for arm, total in lengths.items() if total.value < lengths[BASELINE].value)


def arms_by_length(record: StudyRecord) -> dict[int, list[str]]:
    """Steps -> the arms that are plain training for so many: in whole epochs of a short total, lengths coincide."""
    found: dict[int, list[str]] = {}
    for arm, total in record.spec.lengths.items():
        found.setdefault(total.steps(record.facts["steps_per_epoch"]), []).append(arm)
    return found


def _curve(
    record: StudyRecord, trials: Sequence[TrialRecord], read: Read, chance: float | None = None
) -> PlainCurve | None:
    attempts = deciding(trials)
    found = [
        one
        for arms in arms_by_length(record).values()
        if (one := _length(arms[0], [t for t in attempts if t.arm in arms], read, chance)) is not None
    ]
    if len({one.cost for one in found}) < 2:
        return None
    sd, df = _pooled([[e.value for e in one.errors] for one in found])
    t = float(stats.t.ppf(0.5 + LEVEL / 2, df)) if df else 0.0
    lengths = [
        PlainLength(
            arm=one.arm, cost=one.cost, errors=one.errors, mean=one.mean,
            half=None if sd is None else t * sd / math.sqrt(len(one.errors)),
        )
        for one in sorted(found, key=lambda one: one.cost)
    ]  # fmt: skip
    return PlainCurve(lengths=tuple(lengths), sd=sd, df=df)


def _length(arm: str, trials: Sequence[TrialRecord], read: Read, chance: float | None) -> PlainLength | None:
    errors, cost = read(trials, chance), mean_of(trials, COST)
    if not errors or not cost:
        return None
    return PlainLength(arm=arm, cost=cost, errors=errors, mean=statistics.fmean(e.value for e in errors))


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Standard deviation around the means of groups, and its degrees of freedom."""
    df = sum(len(group) - 1 for group in groups)
    squares = sum((x - statistics.fmean(group)) ** 2 for group in groups for x in group)
    sd = math.sqrt(squares / df) if df else 0.0
    return (sd, df) if sd >= NO_SPREAD else (None, 0)


def front_beside_curve(record: StudyRecord) -> FrontBesideCurve | None:
    """None without a curve, without a front, and where cost is nothing that trials are compared by."""
    curve, measures = plain_curve(record), record.spec.compared
    settings = joined(deciding(record.trials))
    trials = front(settings, measures)
    if curve is None or not trials or COST not in measures:
        return None
    inside = {t.slot: d for t in trials if (d := _difference(curve, t)) is not None}
    below = {slot: d for slot, d in inside.items() if d[0] < 0}
    first = min(below, key=lambda slot: below[slot][0], default=None)
    k = sum(_might_be_best(curve, t) for t in settings)
    return FrontBesideCurve(
        n=len(trials),
        outside=len(trials) - len(inside),
        below=len(below),
        slot=first,
        most=-below[first][0] if first is not None else 0.0,
        k=k,
        p=_p([d / r for d, r in below.values()], curve, k),
    )


def _difference(curve: PlainCurve, trial: TrialRecord) -> tuple[float, float] | None:
    """(d, r) of a complete trial, see *Notations*; None outside the curve."""
    error, cost = at_the_end(trial, ERROR), at_the_end(trial, COST)
    if error is None or cost is None or not (weights := curve.weights(cost)):
        return None
    of_curve = sum(w / math.sqrt(len(one.errors)) for one, w in weights)
    d = error - sum(w * one.mean for one, w in weights)
    return d, math.sqrt(1 / len(trial.runs) + of_curve**2)


def _might_be_best(curve: PlainCurve, trial: TrialRecord) -> bool:
    """Is it complete at a cost of the curve, or was it cut short?"""
    if trial.outcome == Outcome.COMPLETE:
        return _difference(curve, trial) is not None
    return trial.is_final and not trial.outcome.is_broken


def _p(scaled: Sequence[float], curve: PlainCurve, k: int) -> float | None:
    if not scaled or curve.sd is None:
        return None
    return min(1.0, k * float(stats.t.cdf(min(scaled) / curve.sd, curve.df)))


def confirmed_beside_curve(record: StudyRecord, arm: str) -> Comparison | None:
    """An arm of the confirmation minus each seed's own curve, at the cost that its own run had, on test errors; `p_holm`
    is left out. None without a curve, and where its cost lies outside."""
    attempts = deciding(record.confirmation)
    ours = [t for t in attempts if t.arm == arm]
    cost, chance = mean_of(ours, COST), chance_error(record)
    curve = _curve(record, record.confirmation, errors_on_test)
    if curve is None or cost is None or not curve.weights(cost):
        return None
    costs = {t.seed: at_the_end(t, COST) or cost for t in ours}
    diverged = any(t.outcome == Outcome.DIVERGED and t.arm in {arm, *record.spec.lengths} for t in attempts)
    with_chance = None
    if diverged and chance is not None:
        whole = _curve(record, record.confirmation, errors_on_test, chance) or curve
        with_chance = (errors_on_test(ours, chance), _own_curve(whole, costs))
    return compared(
        arm,
        PLAIN,
        errors_on_test(ours),
        _own_curve(curve, costs),
        measured_on="test",
        with_chance=with_chance,
    )


def is_outside(record: StudyRecord, arm: str) -> bool:
    """Does an arm of the confirmation cost less or more than every length of plain training there?"""
    cost = mean_of([t for t in deciding(record.confirmation) if t.arm == arm], COST)
    curve = _curve(record, record.confirmation, errors_on_test)
    return curve is not None and cost is not None and not curve.weights(cost)


def _own_curve(curve: PlainCurve, costs: dict[int, float]) -> tuple[SeedValue, ...]:
    """Of every seed, its own curve at its own cost."""
    found = {seed: curve.of_seed(seed, cost) for seed, cost in costs.items()}
    return tuple(SeedValue(seed=seed, value=value) for seed, value in found.items() if value is not None)
