"""Looking at paired seeds again and again: a p, and an interval, that hold however often it was looked.

*Notations*

    n_1 < ... < n_K    the looks that were planned: after so many pairs
    p_k                two-sided p of the paired t test of the first n_k differences
    p                  P(min_k p_k <= the smallest p_k seen so far), over all K planned looks, if the differences are
                       normal with mean 0: holds at whichever look one stops, for any sd, as t does not depend on it
    level              of one look so that all K together are wrong in 5 %: the 5 % quantile of min_k p_k (Pocock's bound,
                       in p instead of z; 1977)
    interval           the paired t interval at that level: covers at all K looks at once with 95 %

The distribution of min_k p_k comes from `PATHS` simulated series of normal differences (one seed, so the same everywhere):
its standard error is 0.0005 at 0.05. Below `TAIL` it is bounded by K p instead (Bonferroni).

References: Pocock 1977; Jennison and Turnbull 2000, chapters 2 (bounds on p), 4 (t tests) and 9 (repeated intervals).
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import MIN_PAIRS, NO_SPREAD

PATHS = 200_000
TAIL = 1e-3


def sequential_p(ps: Sequence[float], looks: Sequence[int]) -> float:
    """The p of all looks so far.

    Args:
        ps: of the paired t test, at each look so far. looks: pairs at each look that was planned.
    """
    check_looks(looks)
    smallest, k = min(ps), len(looks)
    if k == 1:
        return smallest
    found = _smallest(tuple(looks))
    at_tail = _share(found, TAIL)
    return _share(found, smallest) if smallest >= TAIL else min(k * smallest, at_tail)


def level(looks: Sequence[int]) -> float:
    """At which one look is to be held, so that all together are wrong in `ALPHA`."""
    check_looks(looks)
    return ALPHA if len(looks) == 1 else float(np.quantile(_smallest(tuple(looks)), ALPHA))


def interval(differences: Sequence[float], looks: Sequence[int]) -> tuple[float, float] | None:
    """Of the mean difference, at the level of so many looks; None with fewer than `MIN_PAIRS`, or without a spread."""
    n = len(differences)
    if n < MIN_PAIRS or (sd := statistics.stdev(differences)) < NO_SPREAD:
        return None
    half = float(stats.t.isf(level(looks) / 2, n - 1)) * sd / math.sqrt(n)
    mean = statistics.fmean(differences)
    return mean - half, mean + half


def check_looks(looks: Sequence[int]) -> None:
    """Raise ValueError unless looks can be made."""
    if not looks or looks[0] < MIN_PAIRS or any(b <= a for a, b in itertools.pairwise(looks)):
        raise ValueError(f"looks must increase from {MIN_PAIRS} or more, but got {list(looks)}")


def _share(sorted_ps: NDArray[np.float64], p: float) -> float:
    """Of the simulated series whose smallest p is at most that."""
    return float((1 + np.searchsorted(sorted_ps, p, side="right")) / (1 + len(sorted_ps)))


@functools.lru_cache(maxsize=32)
def _smallest(looks: tuple[int, ...]) -> NDArray[np.float64]:
    """The smallest p of each simulated series, sorted."""
    random = np.random.default_rng(0)
    total, squares, seen = np.zeros(PATHS), np.zeros(PATHS), 0
    smallest = np.ones(PATHS)
    for n in looks:
        for _ in range(n - seen):
            x = random.standard_normal(PATHS)
            total += x
            squares += x * x
        seen = n
        sd = np.sqrt((squares - total**2 / n) / (n - 1))
        p = 2 * stats.t.sf(np.abs(total) / (sd * math.sqrt(n)), n - 1)
        smallest = np.minimum(smallest, p)
    return np.sort(smallest)
