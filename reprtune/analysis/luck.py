"""The best of a search beside standard training: is its gain more than the best of many equal trials has by luck?

*Notations*

    n, s      complete seeds of the standard arm, and the standard deviation of their errors
    k, m_i    trials of the search of which something was trained, and the number of seeds whose mean trial i is; one
              that was stopped or has diverged might have been the best, so it counts, with the seeds it was to have
    gain      mean of standard minus the lowest error of the search
    T         gain / s
    p         probability of such a T or a larger one if nothing helps: all errors are draws of one normal distribution.
              In units of its sd, around its mean, Z ~ N(0, 1/n) is the mean of standard, S^2 ~ chi2_{n-1} / (n-1) its
              variance and N(0, 1/m_i) the error of trial i, all independent, so that
              p = E[1 - prod_i (1 - Phi(sqrt(m_i) (Z - T S)))]. No unknown is in it: it holds for any mean and any sd
    chance    the gain whose p is 5 %: 95 of 100 studies in which nothing helps stay below it

It is the prediction bound of Hahn 1970 (JASA 65, 1668-1676) for the lowest of k future values of a normal distribution,
here of means of m_i values.

It says "luck" rather too often than too seldom. Trials that were cut short count, though none of them is the best; and all
trials are trained with the same seeds, from `base.seed` on, so that what a seed does to all of them alike takes part
in the mean of standard and s, but spreads no trial from the next: the more errors have in common, the less the
best gains by chance. What it takes for granted is that errors are about normal, and that settings which do not help spread no
more than standard does: where single seeds come out far *better* than the others, chance gains more.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from reprtune.analysis.attempts import deciding
from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import NO_SPREAD
from reprtune.analysis.runs import errors_on_validation, mean_of, ratio
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best, order
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import COST, ERROR

FEW = 10  # with fewer seeds the spread of standard is so uncertain that it makes the bound much wider
GRID = 161  # points each way: both integrands are smooth and vanish at their ends, so nine digits are right
Sizes = tuple[tuple[int, int], ...]  # (seeds of a trial, how many trials have so many)


@dataclass(frozen=True, kw_only=True)
class BestOfSearch:
    """The best trial of the search, chosen on the very number it is the best in.

    Attributes:
        measure: what it was chosen by, and value: its number. n_seeds: whose mean that is.
        val_error: None where it is not known. n_settings: settings with a complete trial, of which it is the best.
        k: the same and all trials that were cut short, of which it might not have been the best.
        cost_factor: training cost relative to the standard arm.
        to_standard: its error minus the mean of the standard arm; no interval. n_standard: seeds of that mean.
        p_luck: p of its gain, see *Notations*. chance_gain: the largest gain that chance explains. with_more_seeds: what
            that would be with `FEW` seeds of standard, of the same spread; None where there are as many. All None
            where it was not chosen by its error, and where standard has one seed or no spread.
    """

    number: int
    slot: int
    seed: int
    n_seeds: int
    params: Mapping[str, Any]
    measure: str
    value: float
    val_error: float | None
    n_settings: int
    k: int
    cost_factor: float | None
    to_standard: float | None
    n_standard: int
    p_luck: float | None = None
    chance_gain: float | None = None
    with_more_seeds: float | None = None

    @property
    def standard(self) -> float | None:
        """Mean error of the standard arm."""
        known = self.val_error is not None and self.to_standard is not None
        return self.val_error - self.to_standard if known else None  # type: ignore[operator]  # both are numbers then


def best_of_search(record: StudyRecord) -> BestOfSearch | None:
    """The best of the search (see `record.ranking`), its error held against the standard arm."""
    trial, measure = best(record), order(record.spec)[0]
    value = at_the_end(trial, measure) if trial is not None else None
    if trial is None or value is None:
        return None
    error = at_the_end(trial, ERROR)
    base = [t for t in deciding(record.controls) if t.arm == BASELINE]
    numbers = [e.value for e in errors_on_validation(base)]
    sizes = _sizes(record)
    return BestOfSearch(
        number=trial.number,
        slot=trial.slot,
        seed=trial.seed,
        n_seeds=len(trial.runs),
        params=dict(trial.params),
        measure=measure,
        value=value,
        val_error=error,
        n_settings=sum(at_the_end(t, measure) is not None for t in joined(record.trials)),
        k=sum(n for _, n in sizes),
        cost_factor=ratio(at_the_end(trial, COST), mean_of(base, COST)),
        to_standard=_difference(error, statistics.fmean(numbers)) if numbers and error is not None else None,
        n_standard=len(numbers),
        **(_luck(error, numbers, sizes) if measure == ERROR and error is not None else {}),
    )


def _difference(error: float, mean: float) -> float:
    """0 where it is rounding: the mean of equal numbers need not be that number."""
    return 0.0 if abs(error - mean) < NO_SPREAD else error - mean


def _luck(error: float, standard: Sequence[float], sizes: Sizes) -> dict[str, float | None]:
    """What chance explains; nothing where standard has no spread to tell that from."""
    n = len(standard)
    if n < 2 or (s := statistics.stdev(standard)) < NO_SPREAD:
        return {}
    return {
        "p_luck": p_luck((statistics.fmean(standard) - error) / s, n, sizes),
        "chance_gain": s * chance(n, sizes),
        "with_more_seeds": s * chance(FEW, sizes) if n < FEW else None,
    }


def _sizes(record: StudyRecord) -> Sizes:
    """Of all trials of which something was trained; settings drawn twice are one, over all its seeds."""
    trained = [t for t in joined(deciding(record.trials)) if _was_trained(t)]
    found = Counter(len(t.runs) if t.outcome == "complete" else record.spec.n_seeds for t in trained)
    return tuple(sorted(found.items()))


def _was_trained(trial: TrialRecord) -> bool:
    """Of a slot that failed, or was ended because all was spent, perhaps nothing was."""
    surely = not (trial.outcome.is_broken or trial.outcome == Outcome.OVER_BUDGET)
    return trial.is_final and (surely or bool(trial.last_step or trial.result.get("steps_alone")))


def p_luck(t: float, n: int, sizes: Sizes) -> float:
    """How often the best of such trials is, if nothing helps, at least `t` standard deviations of `n` seeds of standard
    below their mean."""
    mean, mean_weights = _standard_normal()
    spread, spread_weights = _chi(n)
    below = mean[:, None] / math.sqrt(n) - t * spread[None, :]
    log_none = sum(k * special.log_ndtr(-math.sqrt(m) * below) for m, k in sizes)
    return float(mean_weights @ -np.expm1(log_none) @ spread_weights)


@functools.lru_cache(maxsize=1024)
def chance(n: int, sizes: Sizes) -> float:
    """The t whose p is 5 %."""
    high = 1.0
    while p_luck(high, n, sizes) > ALPHA:
        high *= 2
    return float(optimize.brentq(lambda t: p_luck(t, n, sizes) - ALPHA, 0, high, xtol=1e-6))


@functools.cache
def _standard_normal() -> tuple[np.ndarray, np.ndarray]:
    """Points of a standard normal distribution and their weights."""
    points = np.linspace(-8, 8, GRID)
    density = stats.norm.pdf(points)
    return points, density / density.sum()


@functools.lru_cache(maxsize=256)
def _chi(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of S; equally spaced in its logarithm, in which its density is smooth also near 0."""
    low, high = float(stats.chi.ppf(1e-9, n - 1)), float(stats.chi.isf(1e-9, n - 1))
    points = np.geomspace(low, high, GRID)
    density = stats.chi.pdf(points, n - 1) * points
    return points / math.sqrt(n - 1), density / density.sum()
