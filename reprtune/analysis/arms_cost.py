"""Arms by what they reach and what their training costs, over seeds, beside plain training of other lengths.

*Notations*

    point      mean error and mean training cost of an arm's complete runs; diverged ones have no error and are told apart
    half       of the 95 % t interval of a mean over seeds, from three runs; None where there is no spread
    front      arms that no other beats in both means: of means over few seeds, so that neighbours may change places
    against    the arm's error minus its seeds' own curves of plain training at its cost, paired by seed (see `plain_curve`);
               not corrected
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

from reprtune.analysis.attempts import deciding
from reprtune.analysis.level import LEVEL
from reprtune.analysis.paired import MIN_PAIRS, NO_SPREAD, Difference, SeedValue, paired
from reprtune.analysis.plain_curve import PlainCurve, plain_curve
from reprtune.analysis.runs import errors_on_test, errors_on_validation
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import COST
from reprtune.stopping.dominance import ranks


@dataclass(frozen=True, kw_only=True)
class ArmPoint:
    """One arm, see *Notations*. `is_plain`: a length of plain training, which is a point of the curve. `explored`: it was
    added when there were results to see."""

    arm: str
    n: int
    n_diverged: int
    error: float
    error_half: float | None
    cost: float
    cost_half: float | None
    is_plain: bool
    explored: bool = False
    on_front: bool = False
    against: Difference | None = None


@dataclass(frozen=True, kw_only=True)
class ArmsByCost:
    """Points in the order of the arms; `measured_on` one part of the data. curve: None without other lengths."""

    points: tuple[ArmPoint, ...]
    curve: PlainCurve | None
    measured_on: str


def arms_by_cost(record: StudyRecord) -> ArmsByCost:
    """On test errors where every complete run has one, else validation errors."""
    trials = deciding(record.controls)
    on_test = len(errors_of(trials, "test")) == len(errors_of(trials, "validation"))
    measured_on = "test" if on_test else "validation"
    curve = plain_curve(record, errors_on_test if on_test else errors_on_validation)
    found = [
        point
        for arm in record.spec.arms
        if (point := _point(record, arm.name, [t for t in trials if t.arm == arm.name], measured_on, curve))
    ]
    ranked = ranks([(one.error, one.cost) for one in found])
    points = tuple(replace(one, on_front=rank == 0) for one, rank in zip(found, ranked, strict=True))
    return ArmsByCost(points=points, curve=curve, measured_on=measured_on)


def errors_of(trials: Sequence[TrialRecord], measured_on: str) -> list[SeedValue]:
    """Of complete runs, arm by arm."""
    read = errors_on_test if measured_on == "test" else errors_on_validation
    arms = dict.fromkeys(t.arm for t in trials)
    return [e for arm in arms for e in read([t for t in trials if t.arm == arm])]


def _point(
    record: StudyRecord, arm: str, trials: Sequence[TrialRecord], measured_on: str, curve: PlainCurve | None
) -> ArmPoint | None:
    errors = errors_of(trials, measured_on)
    costs = {t.seed: cost for t in trials if (cost := at_the_end(t, COST)) is not None}
    if not errors or not costs:
        return None
    is_plain = arm in record.spec.lengths
    own = [
        SeedValue(seed=seed, value=value)
        for seed, cost in costs.items()
        if curve is not None and not is_plain and (value := curve.of_seed(seed, cost)) is not None
    ]
    numbers = [e.value for e in errors]
    return ArmPoint(
        arm=arm,
        n=len(errors),
        n_diverged=sum(t.outcome == Outcome.DIVERGED for t in trials),
        error=statistics.fmean(numbers),
        error_half=half(numbers),
        cost=statistics.fmean(costs.values()),
        cost_half=half([*costs.values()]),
        is_plain=is_plain and arm != BASELINE,
        explored=arm in record.spec.explored,
        against=paired(errors, own),
    )


def half(values: Sequence[float]) -> float | None:
    """Of the t interval of their mean."""
    n = len(values)
    if n < MIN_PAIRS or (sd := statistics.stdev(values)) < NO_SPREAD:
        return None
    return float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * sd / math.sqrt(n)
