"""Paired differences that are looked at more than once while seeds are added: a p and an interval that allow for it.

*Notations*

    looks      numbers of paired seeds n_1 < ... < n_K at which one looks, planned before the first; differences
               stand in the order in which their seeds were added
    p_k        two-sided p of the paired t test of the first n_k differences
    least      smallest p_k of the looks made so far
    p          P(min of p_1 ... p_K <= least) where nothing differs and differences are normal: valid whenever one
               stops, for the minimum of fewer looks is never smaller. The spread cancels, so one simulation holds
               for all
    nominal    the level at which K looks together are wrong with 1 - LEVEL: 5 % quantile of min p
    interval   mean -+ t_{1 - nominal/2, n-1} sd / sqrt(n) at the last look made: holds at all looks together
    error      `PATHS` simulated paths: a p of 0.05 has a standard error of 0.0005. Below `TAIL` its place is taken
               by r(x) x, where r goes from the simulated ratio to K, K being a bound (Bonferroni); never too small in 3 million series of five sets of looks

One look gives the ordinary paired t test and interval exactly.
References: Pocock 1977 (one nominal level for all looks); Jennison & Turnbull 1989 (repeated intervals).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import stats

from reprtune.analysis.level import LEVEL
from reprtune.analysis.paired import MIN_PAIRS, NO_SPREAD

PATHS = 200_000
TAIL = 1e-3
BLOCK = 20_000  # paths simulated at once: bounds memory


def sequential_p(differences: Sequence[float] | np.ndarray, looks: Sequence[int]) -> float | None:
    """Probability of a p as small as the smallest so far at any of the planned looks, where nothing differs.

    None where every look made has equal differences that are not 0.

    Raises:
        ValueError: looks do not increase, begin below `MIN_PAIRS`, or none is at this number of differences.
    """
    planned = _checked(differences, looks)
    seen = [p for n in planned if n <= len(differences) and (p := _paired_p(differences[:n])) is not None]
    return chance_of(min(seen), planned) if seen else None


def sequential_interval(
    differences: Sequence[float] | np.ndarray, looks: Sequence[int]
) -> tuple[float, float] | None:
    """Repeated confidence interval of the mean difference at this look; None where all are equal.

    Raises:
        ValueError: as `sequential_p`.
    """
    return repeated_interval(differences, _checked(differences, looks))


def repeated_interval(
    differences: Sequence[float] | np.ndarray, looks: Sequence[int]
) -> tuple[float, float] | None:
    """The same of any number of pairs, where some that were planned are missing; None with fewer than `MIN_PAIRS`."""
    planned, values = _increasing(looks), np.asarray(differences, float)
    if len(values) < MIN_PAIRS or (sd := float(values.std(ddof=1))) < NO_SPREAD:
        return None
    n, mean = len(values), float(values.mean())
    half = float(stats.t.isf(nominal_level(planned) / 2, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half


def nominal_level(looks: Sequence[int]) -> float:
    """The p below which a single look may conclude, so that all looks together are wrong with 1 - LEVEL."""
    planned = _increasing(looks)
    if len(planned) == 1:
        return 1 - LEVEL
    return float(np.quantile(_least_ps(planned), 1 - LEVEL))


def chance_of(p: float, looks: Sequence[int]) -> float:
    """Probability of a p that small, or smaller, at any of the planned looks, where nothing differs.

    Raises:
        ValueError: looks do not increase, or begin below `MIN_PAIRS`.
    """
    looks = _increasing(looks)
    if len(looks) == 1:
        return p
    simulated = _least_ps(looks)
    if p >= TAIL:
        return _share_below(simulated, p)
    at_tail = _share_below(simulated, TAIL)
    ratio = len(looks) + (at_tail / TAIL - len(looks)) * p / TAIL
    return min(at_tail, ratio * p)


def _share_below(ordered: np.ndarray, p: float) -> float:
    return float(np.searchsorted(ordered, p, side="right") / len(ordered))


@lru_cache(maxsize=32)
def _least_ps(looks: tuple[int, ...]) -> np.ndarray:
    """Smallest p of each simulated path without effect, in order."""
    rng = np.random.default_rng(0)
    found = np.sort(np.concatenate([_block(rng, looks) for _ in range(PATHS // BLOCK)]))
    found.flags.writeable = False
    return found


def _block(rng: np.random.Generator, looks: tuple[int, ...]) -> np.ndarray:
    """Only sums and sums of squares of the seeds between two looks are needed: both have known distributions."""
    total, squares, least, before = np.zeros(BLOCK), np.zeros(BLOCK), np.ones(BLOCK), 0
    for n in looks:
        added = n - before
        part = math.sqrt(added) * rng.standard_normal(BLOCK)
        within = rng.chisquare(added - 1, BLOCK) if added > 1 else 0.0
        total, squares, before = total + part, squares + part**2 / added + within, n
        variance = (squares - total**2 / n) / (n - 1)
        least = np.minimum(least, 2 * stats.t.sf(np.abs(total) / np.sqrt(n * variance), n - 1))
    return least


def _paired_p(differences: Sequence[float] | np.ndarray) -> float | None:
    """Two-sided p of the paired t test; 1 where all are 0, None where all are equal otherwise."""
    values = np.asarray(differences, float)
    n, mean, sd = len(values), float(values.mean()), float(values.std(ddof=1))
    if sd < NO_SPREAD:
        return 1.0 if abs(mean) < NO_SPREAD else None
    return float(2 * stats.t.sf(abs(mean) / sd * math.sqrt(n), n - 1))


def _increasing(looks: Sequence[int]) -> tuple[int, ...]:
    planned = tuple(looks)
    if not planned or planned[0] < MIN_PAIRS:
        raise ValueError(f"looks must begin at {MIN_PAIRS} pairs or more, got {planned}; begin later")
    if any(b <= a for a, b in pairwise(planned)):
        raise ValueError(f"looks must increase, got {planned}; give each number of pairs once, in order")
    return planned


def _checked(differences: Sequence[float] | np.ndarray, looks: Sequence[int]) -> tuple[int, ...]:
    planned = _increasing(looks)
    if len(differences) not in planned:
        raise ValueError(
            f"differences must be as many as one of the looks {planned}, got {len(differences)}; "
            "give those up to the last look that is complete"
        )
    if not np.isfinite(np.asarray(differences, float)).all():
        raise ValueError("differences must be finite numbers; give diverged runs chance error")
    return planned
