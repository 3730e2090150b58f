"""Arms: every one over its seeds, and its paired differences to the arms that it must be compared with.

*Notations*

    e_s       validation error of an arm with seed s at the end, a fraction
    d_s       e_s(arm) - e_s(control): the same seed gives both the same start and the same batches
    interval  mean(d) -+ t_{0.975, n-1} sd(d) / sqrt(n), n >= 3; over seeds, given this split of the data
    chance    1 - 1/classes: the error put in the place of a diverged run, which is an outcome
    luck      sd (over the root of a trial's seeds) times the expected maximum of k standard normal draws, the integral of
              k x phi(x) Phi(x)^(k-1): what the best of k equal trials gains by chance
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import integrate, stats

from reprtune.analysis.attempts import deciding
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best, order
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.edit import changed
from reprtune.spec.objectives import COST, ERROR, SIZES
from reprtune.spec.trial import TrialSpec

BASELINE = "standard"
LEVEL = 0.95
MIN_PAIRS = 3
ROUNDING = 1.01  # budgets that differ by less are the same: a cycle is whole steps


@dataclass(frozen=True, kw_only=True)
class SeedValue:
    seed: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Paired by seed, arm minus control, in error; `low` and `high` need `MIN_PAIRS` pairs."""

    n: int
    mean: float
    low: float | None
    high: float | None
    pairs: tuple[SeedValue, ...]


@dataclass(frozen=True, kw_only=True)
class Against:
    """An arm beside one that it must be compared with.

    Attributes:
        control: name of that arm.
        difference: complete pairs only; None without a pair.
        with_chance: the same with chance error for diverged runs; None when none diverged.
    """

    control: str
    difference: Difference | None
    with_chance: Difference | None


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm.

    Attributes:
        n: complete runs. n_diverged, n_failed, n_open: the others; open = waiting or running.
        errors: of the complete runs. mean, sd: over them; sd needs two.
        cost_factor, budget_factor: mean training cost, and steps of all networks of a trial (and of the trials that it
            began from), relative to the standard arm.
        sizes: of the networks that came out, by the names of objectives, means.
        against: beside every arm that it is compared with, the most telling first: those that it names, else
            standard. Never one that was trained for less than it was.
    """

    arm: str
    n: int
    n_diverged: int
    n_failed: int
    n_open: int
    errors: tuple[SeedValue, ...]
    mean: float | None
    sd: float | None
    cost_factor: float | None
    budget_factor: float | None
    sizes: Mapping[str, float | None]
    against: tuple[Against, ...]


@dataclass(frozen=True, kw_only=True)
class BestOfSearch:
    """The best trial of the search, chosen on the very number it is the best in.

    Attributes:
        measure: what it was chosen by, and value: its number. n_seeds: whose mean that is.
        val_error: None where it is not known. k: settings with a complete trial, of which it is the best.
        cost_factor: training cost relative to the standard arm.
        to_standard: its error minus the mean of the standard arm; no interval.
        luck: what the best of k equal trials would be expected to gain by chance alone, from the
            standard arm's spread over seeds (of a mean of `n_seeds`: over their root); 0 or above. None where it
            was not chosen by its error.
    """

    number: int
    slot: int
    seed: int
    n_seeds: int
    params: Mapping[str, Any]
    measure: str
    value: float
    val_error: float | None
    k: int
    cost_factor: float | None
    to_standard: float | None
    luck: float | None


def paired(values: Sequence[SeedValue], base: Sequence[SeedValue]) -> Difference | None:
    """Differences over the seeds that both have, with a paired t interval; None without a common seed."""
    others = {v.seed: v.value for v in base}
    pairs = tuple(SeedValue(seed=v.seed, value=v.value - others[v.seed]) for v in values if v.seed in others)
    if not pairs:
        return None
    numbers, n = [p.value for p in pairs], len(pairs)
    mean = statistics.fmean(numbers)
    if n < MIN_PAIRS:
        return Difference(n=n, mean=mean, low=None, high=None, pairs=pairs)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * statistics.stdev(numbers) / math.sqrt(n)
    return Difference(n=n, mean=mean, low=mean - half, high=mean + half, pairs=pairs)


def arm_summaries(record: StudyRecord) -> list[ArmSummary]:
    """Every arm of the specification, in its order."""
    of_arm, controls = _trials_of_arms(record), compared_with(record)
    steps = {name: _mean_steps(record, name, trials) for name, trials in of_arm.items()}
    return [_summary(record, arm, of_arm, steps, controls[arm]) for arm in of_arm]


def compared_with(record: StudyRecord) -> dict[str, tuple[str, ...]]:
    """Arm -> the arms that it is compared with: those that it names, else standard, but none that was trained for
    less than it was."""
    steps = {name: _mean_steps(record, name, trials) for name, trials in _trials_of_arms(record).items()}
    standard = (BASELINE,) if BASELINE in steps else ()
    return {
        arm.name: tuple(
            other
            for other in arm.against or standard
            if other != arm.name and not _is_more(steps[arm.name], steps[other])
        )
        for arm in record.spec.arms
    }


def _trials_of_arms(record: StudyRecord) -> dict[str, list[TrialRecord]]:
    """Every arm of the specification, in its order."""
    attempts = deciding(record.controls)
    return {arm.name: [t for t in attempts if t.arm == arm.name] for arm in record.spec.arms}


def _summary(
    record: StudyRecord,
    arm: str,
    of_arm: Mapping[str, Sequence[TrialRecord]],
    steps: Mapping[str, float | None],
    controls: Sequence[str],
) -> ArmSummary:
    trials, base = of_arm[arm], of_arm.get(BASELINE, [])
    errors = _errors(trials, None)
    numbers = [e.value for e in errors]
    outcomes = [t.outcome for t in trials]
    n_open = sum(o.is_open for o in outcomes)
    chance = chance_error(record)
    return ArmSummary(
        arm=arm,
        n=len(errors),
        n_diverged=outcomes.count(Outcome.DIVERGED),
        n_failed=len(outcomes) - len(errors) - outcomes.count(Outcome.DIVERGED) - n_open,
        n_open=n_open,
        errors=errors,
        mean=statistics.fmean(numbers) if numbers else None,
        sd=statistics.stdev(numbers) if len(numbers) > 1 else None,
        cost_factor=_ratio(_mean(trials, COST), _mean(base, COST)),
        sizes={name: _mean(trials, name) for name in SIZES},
        budget_factor=_ratio(steps[arm], steps.get(BASELINE)),
        against=tuple(_against(name, trials, of_arm[name], chance) for name in controls),
    )


def _is_more(ours: float | None, theirs: float | None) -> bool:
    """Has an arm had more steps than another?"""
    return ours is not None and theirs is not None and ours > ROUNDING * theirs


def _against(
    control: str, ours: Sequence[TrialRecord], theirs: Sequence[TrialRecord], chance: float | None
) -> Against:
    any_diverged = any(t.outcome == "diverged" for t in (*ours, *theirs))
    return Against(
        control=control,
        difference=paired(_errors(ours, None), _errors(theirs, None)),
        with_chance=(
            paired(_errors(ours, chance), _errors(theirs, chance))
            if any_diverged and chance is not None
            else None
        ),
    )


def best_of_search(record: StudyRecord) -> BestOfSearch | None:
    """The best of the search (see `record.ranking`), its error held against the standard arm."""
    trial, measure = best(record), order(record.spec)[0]
    value = at_the_end(trial, measure) if trial is not None else None
    if trial is None or value is None:
        return None
    error = at_the_end(trial, ERROR)
    base = [t for t in deciding(record.controls) if t.arm == BASELINE]
    numbers = [e.value for e in _errors(base, None)]
    k = sum(at_the_end(t, measure) is not None for t in joined(record.trials))
    return BestOfSearch(
        number=trial.number,
        slot=trial.slot,
        seed=trial.seed,
        n_seeds=len(trial.runs),
        params=dict(trial.params),
        measure=measure,
        value=value,
        val_error=error,
        k=k,
        cost_factor=_ratio(at_the_end(trial, COST), _mean(base, COST)),
        to_standard=error - statistics.fmean(numbers) if numbers and error is not None else None,
        luck=(
            expected_gain(k, statistics.stdev(numbers) / math.sqrt(len(trial.runs)))
            if len(numbers) > 1 and measure == ERROR
            else None
        ),
    )


def expected_gain(k: int, sd: float) -> float:
    """By how much the best of `k` draws from one normal distribution is expected to beat its mean."""
    x = np.linspace(-9, 9, 20_001)
    density = k * stats.norm.pdf(x) * stats.norm.cdf(x) ** (k - 1)
    return sd * float(integrate.trapezoid(x * density, x))


def _errors(trials: Sequence[TrialRecord], chance: float | None) -> tuple[SeedValue, ...]:
    """Errors at the end by seed; with `chance`, diverged runs count with it."""
    found = []
    for trial in sorted(trials, key=lambda t: t.seed):
        value = chance if trial.outcome == "diverged" else at_the_end(trial, ERROR)
        if value is not None:
            found.append(SeedValue(seed=trial.seed, value=value))
    return tuple(found)


def chance_error(record: StudyRecord) -> float | None:
    classes = record.facts.get("n_classes")
    return 1 - 1 / classes if classes else None


def _mean(trials: Sequence[TrialRecord], measure: str) -> float | None:
    """Over the complete ones."""
    found = [value for t in trials if (value := at_the_end(t, measure)) is not None]
    return statistics.fmean(found) if found else None


def _mean_steps(record: StudyRecord, arm: str, trials: Sequence[TrialRecord]) -> float | None:
    """Steps of all networks of a trial, and of those that were trained, elsewhere, for what it began from."""
    steps = [t.last_step for t in trials if t.outcome == "complete" and t.last_step]
    if not steps:
        return None
    spec = next(changed(record.spec.base, one.changes) for one in record.spec.arms if one.name == arm)
    return statistics.fmean(steps) * spec.method.n_members + _steps_before(record, spec)


def _steps_before(record: StudyRecord, spec: TrialSpec) -> int:
    """What stands in `model.weights` has cost, as it was found at create; 0 for new weights."""
    if spec.model.weights is None:
        return 0
    return int(record.facts.get("weights", {}).get(spec.model.weights, {}).get("steps", 0))


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None
