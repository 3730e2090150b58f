"""Two arms with the same seeds: their paired difference, how sure it is, and what these seeds could have seen.

*Notations*

    e_s        error of an arm with seed s, a fraction
    d_s        e_s(arm) - e_s(control): the same seed gives both the same start and the same batches
    n          pairs
    sd         sample standard deviation of the d_s
    interval   mean(d) -+ t_{0.975, n-1} sd / sqrt(n), n >= 3; over seeds, given this split of the data; not corrected.
               None where all d_s are equal: there is no spread to judge by
    p          two-sided, of the paired t test; `p_holm`: corrected by Holm's step-down rule over the m comparisons
               of a family: p_(i) -> max_{j <= i} min(1, (m - j + 1) p_(j))
    BCa        bias-corrected and accelerated bootstrap interval of mean(d), from n >= 20 only: below it
               covers too seldom (89 % instead of 95 % at n = 10)
    effect     d_z = mean(d) / sd: the paired form of Cohen's d
    better     probability of improvement: share of seeds with d_s < 0, ties counted half
    chance     1 - 1/classes: the error put in the place of a diverged run, which is an outcome

References: Holm 1979; Efron 1987 (BCa); Bouthillier et al. 2021, arXiv 2103.03098 (pairing, probability of
improvement).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from reprtune.analysis.level import ALPHA, LEVEL

MIN_PAIRS = 3
MIN_BCA = 20
MIN_WILCOXON = 10
RESAMPLES = 9999
NO_SPREAD = 1e-12  # a standard deviation below this is rounding


@dataclass(frozen=True, kw_only=True)
class SeedValue:
    seed: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Paired by seed, arm minus control, in error.

    Attributes:
        sd: None with one pair. low, high: None with fewer than `MIN_PAIRS` pairs, and where all are equal.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    pairs: tuple[SeedValue, ...]

    @property
    def is_constant(self) -> bool:
        """Do all of several pairs differ by the same amount?"""
        return self.sd is not None and self.sd < NO_SPREAD


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Errors of one arm minus those of a control, paired by seed.

    Attributes:
        measured_on: the part of the data whose errors they are: `test` or `validation`.
        difference: complete pairs, None without one. with_chance: the same with chance error for diverged
            runs; None when none diverged.
        p, p_holm: None with fewer than `MIN_PAIRS` pairs, or when all differ by the same amount that is not 0.
        explored: is one of the two an arm that was added when there were results to see? Then it belongs to no family, and
            has no `p_holm`.
        effect, better, bca_low, bca_high, wilcoxon: see *Notations*; the p of Wilcoxon's signed-rank test
            only from `MIN_WILCOXON` pairs; not corrected.
    """

    arm: str
    control: str
    measured_on: str = "test"
    difference: Difference | None = None
    with_chance: Difference | None = None
    p: float | None = None
    p_holm: float | None = None
    explored: bool = False
    effect: float | None = None
    better: float | None = None
    bca_low: float | None = None
    bca_high: float | None = None
    wilcoxon: float | None = None

    @property
    def is_shown(self) -> bool:
        """Is there a difference, after correction over its family?"""
        return self.p_holm is not None and self.p_holm < ALPHA

    @property
    def judged(self) -> Difference | None:
        """What a conclusion rests on: with chance error for diverged runs where some diverged."""
        return self.with_chance or self.difference

    @property
    def all_diverged(self) -> bool:
        """Is every pair two diverged runs, so that chance error is held against chance error?"""
        return (
            self.with_chance is not None
            and all(p.value == 0 for p in self.with_chance.pairs)
            and not self.difference
        )


def paired(values: Sequence[SeedValue], base: Sequence[SeedValue]) -> Difference | None:
    """Differences over the seeds that both have, with a paired t interval; None without a common seed."""
    others = {v.seed: v.value for v in base}
    pairs = tuple(SeedValue(seed=v.seed, value=v.value - others[v.seed]) for v in values if v.seed in others)
    if not pairs:
        return None
    numbers, n = [p.value for p in pairs], len(pairs)
    mean = statistics.fmean(numbers)
    sd = statistics.stdev(numbers) if n > 1 else None
    low = high = None
    if sd is not None and n >= MIN_PAIRS and sd >= NO_SPREAD:
        half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * sd / math.sqrt(n)
        low, high = mean - half, mean + half
    return Difference(n=n, mean=mean, sd=sd, low=low, high=high, pairs=pairs)


def compared(
    arm: str,
    control: str,
    ours: Sequence[SeedValue],
    theirs: Sequence[SeedValue],
    *,
    measured_on: str,
    with_chance: tuple[Sequence[SeedValue], Sequence[SeedValue]] | None = None,
) -> Comparison:
    """Two arms; `p_holm` is left out, for it takes all of a family.

    Args:
        with_chance: errors of both with chance error for diverged runs, where some diverged.
    """
    difference = paired(ours, theirs)
    made = Comparison(
        arm=arm,
        control=control,
        measured_on=measured_on,
        difference=difference,
        with_chance=paired(*with_chance) if with_chance else None,
    )
    judged = made.judged
    return made if judged is None else replace(made, **_statistics([p.value for p in judged.pairs]))


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


def corrected(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons of one family, with Holm's p; what was explored is not of it."""
    ps = iter(holm([c.p for c in comparisons if not c.explored]))
    return tuple(c if c.explored else replace(c, p_holm=next(ps)) for c in comparisons)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's correction; a comparison whose p is not known yet counts in the family as one that fails."""
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    found: list[float | None] = [None] * len(ps)
    highest = 0.0
    for place, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - place) * p))
        found[i] = highest
    return found
