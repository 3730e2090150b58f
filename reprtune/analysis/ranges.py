"""How far an importance might lie elsewhere with other trials: the delete-half jackknife (Shao and Wu 1989).

*Notations*

    n, m      trials in all, and in each random part, drawn without replacement: a half, or less in large studies
    s, s_i    share of a parameter from all trials, and from part i
    spread    sqrt(m / (n - m)) times the standard deviation of s_i: that of the share from all trials
    range     s - 1.645 spread to s + 1.645 spread, cut to [0, 1]: 90 %. It lies around the share and not around the
              parts' answers, which lean to equal shares, being of fewer trials
    d_i       s + sqrt(m / (n - m)) (s_i - mean of s_i), whose ranks are counted
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reprtune.analysis.evaluators import Forest, shares
from reprtune.analysis.rebuilt import Row
from reprtune.spec.space import Range

HALF_FOREST = Forest(n_trees=16)  # its own spread makes the range a little too wide for it
N_HALVES = {"ped-anova": 100, "fanova": 20}
MAX_HALF = {"ped-anova": 150, "fanova": 75}  # trials; keeps large studies within seconds
Z = 1.645  # 5 % of a normal distribution lie above


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Range of a parameter's share, and 5 % and 95 % of its rank (1 = largest), its own with them."""

    low: float
    high: float
    rank_low: float
    rank_high: float


def stability(
    whole: Mapping[str, float],
    seen: Sequence[Row],
    params: Mapping[str, Range],
    method: str,
    best_share: float | None,
    seed: int,
) -> tuple[dict[str, Stability], int, int]:
    """Parameter -> range around its share from all trials; how many parts gave an answer; trials in each. No range
    where too few did."""
    rng, n = random.Random(seed), len(seen)
    half = min(n // 2, MAX_HALF[method])
    parts = [rng.sample(list(seen), half) for _ in range(N_HALVES[method])]
    answers = [shares(p, params, best_share, forest=HALF_FOREST, seed=seed + i) for i, p in enumerate(parts)]
    found = np.array([[answer[name] for name in params] for answer in answers if answer])
    if len(found) < N_HALVES[method] / 2:
        return {}, 0, 0
    return _around(whole, found, math.sqrt(half / (n - half))), len(found), half


def _around(whole: Mapping[str, float], found: np.ndarray, scale: float) -> dict[str, Stability]:
    """`found`: a row for each part, a column for each parameter."""
    shares_, spread = np.array(list(whole.values())), scale * found.std(axis=0, ddof=1)
    low, high = np.clip([shares_ - Z * spread, shares_ + Z * spread], 0, 1)
    moved = np.vstack([shares_, shares_ + scale * (found - found.mean(axis=0))])
    ranks = stats.rankdata(-moved.round(12), axis=1)  # equal shares have their mean rank
    rank_low, rank_high = np.quantile(ranks, (0.05, 0.95), axis=0)
    return {
        name: Stability(
            low=float(low[j]),
            high=float(high[j]),
            rank_low=float(min(rank_low[j], ranks[0, j])),
            rank_high=float(max(rank_high[j], ranks[0, j])),
        )
        for j, name in enumerate(whole)
    }
