"""The confirmation: leaders and controls on fresh seeds, compared by their errors on the test part.

*Notations*

    t_s        test error of an arm with fresh seed s after its last epoch, a fraction
    d_s        t_s(leader) - t_s(control), paired by seed
    n          pairs
    interval   mean(d) -+ t_{0.975, n-1} sd(d) / sqrt(n), n >= 3: the primary one; not corrected
    p          two-sided, of the paired t test; `p_holm`: corrected by Holm's step-down rule over all m
               comparisons of leaders and controls: p_(i) -> max_{j <= i} min(1, (m - j + 1) p_(j))
    BCa        bias-corrected and accelerated bootstrap interval of mean(d), from n >= 20 only: below it
               covers too seldom (89 % instead of 95 % at n = 10)
    effect     d_z = mean(d) / sd(d): the paired form of Cohen's d
    better     probability of improvement: share of seeds with d_s < 0, ties counted half
    se         sqrt(t (1 - t) / n_test): what the test part itself leaves open; seeds do not average it out
    optimism   mean validation error on the fresh seeds minus the one the leader was selected by

References: Holm 1979; Efron 1987 (BCa); Bouthillier et al. 2021, arXiv 2103.03098 (pairing, probability of
improvement).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from reprtune.analysis.attempts import deciding
from reprtune.analysis.controls import (
    BASELINE,
    LEVEL,
    MIN_PAIRS,
    Difference,
    SeedValue,
    chance_error,
    compared_with,
    paired,
)
from reprtune.record.leaders import leader_arm, leader_slot
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best_first
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import COST, ERROR

MIN_BCA = 20
MIN_WILCOXON = 10
RESAMPLES = 9999
NO_SPREAD = 1e-12  # a standard deviation below this is rounding


@dataclass(frozen=True, kw_only=True)
class ConfirmedArm:
    """A leader or a control on the fresh seeds.

    Attributes:
        slot: of the search, None for a control. params: what was drawn there.
        n: complete runs. n_diverged, n_failed, n_open: the others; open = waiting or running.
        test, val: errors of the complete runs. Means, and sd over seeds, which need two.
        test_se: standard error that the test part's size leaves in one test error.
        cost_factor: mean training cost relative to the standard arm.
        search_val: the validation error by which the leader was selected. optimism: see *Notations*.
    """

    arm: str
    slot: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    n: int = 0
    n_diverged: int = 0
    n_failed: int = 0
    n_open: int = 0
    test: tuple[SeedValue, ...] = ()
    val: tuple[SeedValue, ...] = ()
    test_mean: float | None = None
    test_sd: float | None = None
    val_mean: float | None = None
    val_sd: float | None = None
    test_se: float | None = None
    cost_factor: float | None = None
    search_val: float | None = None
    optimism: float | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Test errors of one arm minus those of a control, paired by seed.

    Attributes:
        difference: complete pairs, None without one. with_chance: the same with chance error for diverged
            runs; None when none diverged.
        p, p_holm: None with fewer than `MIN_PAIRS` pairs, or when all differ by the same amount.
        effect, better, bca_low, bca_high, wilcoxon: see *Notations*; the p of Wilcoxon's signed-rank test
            only from `MIN_WILCOXON` pairs; not corrected.
    """

    arm: str
    control: str
    difference: Difference | None = None
    with_chance: Difference | None = None
    p: float | None = None
    p_holm: float | None = None
    effect: float | None = None
    better: float | None = None
    bca_low: float | None = None
    bca_high: float | None = None
    wilcoxon: float | None = None

    @property
    def verdict(self) -> str:
        """`lower` or `higher` error when the corrected p is below 5 %, `not shown`, or `unknown`."""
        if self.p_holm is None or self.difference is None:
            return "unknown"
        if self.p_holm >= 1 - LEVEL:
            return "not shown"
        return "lower" if self.difference.mean < 0 else "higher"


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """All of it.

    Attributes:
        runs: queued. open: not finished. seeds: the fresh ones. n_test: images of the test part.
        arms: leaders, best of the search first, then the controls in their order.
        comparisons: every leader with every control; without leaders, every arm with those that it
            names, else with `standard`.
    """

    runs: int
    open: int
    seeds: tuple[int, ...]
    n_test: int
    arms: tuple[ConfirmedArm, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def leader(self) -> ConfirmedArm | None:
        """The best of the search: chosen before any test error was known."""
        return next((arm for arm in self.arms if arm.slot is not None), None)


def confirmation(record: StudyRecord) -> Confirmation | None:
    """None until the study is confirmed."""
    if not record.confirmation:
        return None
    attempts = deciding(record.confirmation)
    chosen = _chosen(record)
    groups = {arm: [t for t in attempts if t.arm == arm] for arm in chosen}
    n_test = int(record.facts.get("n_test") or 0)
    base_cost = _mean_cost(groups.get(BASELINE, []))
    arms = tuple(_arm(arm, trials, chosen[arm], n_test, base_cost) for arm, trials in groups.items())
    leaders = [arm.arm for arm in arms if arm.slot is not None]
    controls = [arm.arm for arm in arms if arm.slot is None]
    pairs = [(arm, control) for arm in leaders for control in controls] or [
        (arm, control)
        for arm, others in compared_with(record).items()
        for control in others
        if {arm, control} <= {*controls}
    ]
    chance = chance_error(record)
    found = [compared(arm, control, groups[arm], groups[control], chance) for arm, control in pairs]
    corrected = holm([c.p for c in found])
    return Confirmation(
        runs=len(attempts),
        open=record.unconfirmed(),
        seeds=tuple(sorted({t.seed for t in attempts})),
        n_test=n_test,
        arms=arms,
        comparisons=tuple(replace(c, p_holm=p) for c, p in zip(found, corrected, strict=True)),
    )


def compared(
    arm: str,
    control: str,
    ours: Sequence[TrialRecord],
    theirs: Sequence[TrialRecord],
    chance: float | None = None,
) -> Comparison:
    """Two arms of a confirmation; `p_holm` is left out."""
    difference = paired(errors_on_test(ours), errors_on_test(theirs))
    diverged = any(t.outcome == "diverged" for t in (*ours, *theirs))
    made = Comparison(
        arm=arm,
        control=control,
        difference=difference,
        with_chance=(
            paired(errors_on_test(ours, chance), errors_on_test(theirs, chance))
            if diverged and chance is not None
            else None
        ),
    )
    return made if difference is None else replace(made, **_statistics([p.value for p in difference.pairs]))


def _statistics(d: Sequence[float]) -> dict[str, Any]:
    """What is said of paired differences beside their mean and interval."""
    n, mean = len(d), statistics.fmean(d)
    found: dict[str, Any] = {"better": statistics.fmean((x < 0) + 0.5 * (x == 0) for x in d)}
    if n < MIN_PAIRS:
        return found
    if (sd := statistics.stdev(d)) < NO_SPREAD:
        return {**found, "p": 1.0 if abs(mean) < NO_SPREAD else None}
    found["effect"] = mean / sd
    found["p"] = float(2 * stats.t.sf(abs(mean) / sd * math.sqrt(n), n - 1))
    if n >= MIN_WILCOXON:
        found["wilcoxon"] = float(stats.wilcoxon(d).pvalue)
    if n >= MIN_BCA:
        interval = stats.bootstrap(
            (np.asarray(d),), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
        found |= {"bca_low": float(interval.low), "bca_high": float(interval.high)}
    return found


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's correction; a comparison whose p is not known yet counts in the family as one that fails."""
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    highest = 0.0
    for place, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - place) * p))
        corrected[i] = highest
    return corrected


def errors_on_test(trials: Sequence[TrialRecord], chance: float | None = None) -> tuple[SeedValue, ...]:
    """Test error by seed, of complete runs; with `chance`, diverged runs count with it."""
    found = []
    for trial in sorted(trials, key=lambda t: t.seed):
        value = trial.result.get("test_error") if trial.outcome == "complete" else None
        if trial.outcome == "diverged":
            value = chance
        if value is not None:
            found.append(SeedValue(seed=trial.seed, value=float(value)))
    return tuple(found)


def _chosen(record: StudyRecord) -> dict[str, TrialRecord | None]:
    """Arm -> the trial of the search that it trains again: leaders by their rank there, then the controls,
    as the specification has them."""
    arms = {str(t.arm) for t in record.confirmation}
    slots = {slot for arm in arms if (slot := leader_slot(arm)) is not None}
    trials = deciding(t for t in (*record.trials, *joined(record.trials)) if t.slot in slots)
    leaders = {leader_arm(t.slot): t for t in best_first(trials, record.spec.compared)}
    return {**leaders, **dict.fromkeys(arm.name for arm in record.spec.arms if arm.name in arms)}


def _arm(
    arm: str,
    trials: Sequence[TrialRecord],
    chosen: TrialRecord | None,
    n_test: int,
    base_cost: float | None,
) -> ConfirmedArm:
    test = errors_on_test(trials)
    val = tuple(
        SeedValue(seed=t.seed, value=error)
        for t in sorted(trials, key=lambda t: t.seed)
        if (error := at_the_end(t, ERROR)) is not None
    )
    outcomes, cost = [t.outcome for t in trials], _mean_cost(trials)
    search_val = at_the_end(chosen, ERROR) if chosen else None
    n_open = sum(o.is_open for o in outcomes)
    test_mean, val_mean = _mean(test), _mean(val)
    return ConfirmedArm(
        arm=arm,
        slot=chosen.slot if chosen else None,
        params=dict(chosen.params) if chosen else {},
        n=len(test),
        n_diverged=outcomes.count(Outcome.DIVERGED),
        n_failed=len(outcomes) - len(test) - outcomes.count(Outcome.DIVERGED) - n_open,
        n_open=n_open,
        test=test,
        val=val,
        test_mean=test_mean,
        test_sd=_sd(test),
        val_mean=val_mean,
        val_sd=_sd(val),
        test_se=math.sqrt(test_mean * (1 - test_mean) / n_test) if test_mean is not None and n_test else None,
        cost_factor=cost / base_cost if cost is not None and base_cost else None,
        search_val=search_val,
        optimism=val_mean - search_val if val_mean is not None and search_val is not None else None,
    )


def _mean(values: Sequence[SeedValue]) -> float | None:
    return statistics.fmean(v.value for v in values) if values else None


def _sd(values: Sequence[SeedValue]) -> float | None:
    return statistics.stdev(v.value for v in values) if len(values) > 1 else None


def _mean_cost(trials: Sequence[TrialRecord]) -> float | None:
    costs = [c for t in trials if (c := at_the_end(t, COST)) is not None]
    return statistics.fmean(costs) if costs else None
