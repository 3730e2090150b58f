"""How far an importance might lie elsewhere with other trials: the delete-half jackknife (Shao and Wu 1989).

*Notations*

    n, m      trials in all, and in each random part, drawn without replacement: a half, or less in large studies
    s, s_i    share of a parameter from all trials, and from part i
    d_i       s + sqrt(m / (n - m)) (s_i - median of s_i), cut to [0, 1]: what other trials of the same study might
              have said. Parts say how far answers spread, not where they lie: of fewer trials they lean to equal shares
    range     5 % to 95 % of d_i; s lies in it
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


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Range of a parameter's share, and 5 % and 95 % of its rank (1 = largest) among the same answers."""

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
    centre = np.array(list(whole.values()))
    drawn = np.clip(centre + scale * (found - np.median(found, axis=0)), 0, 1)
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    ranks = stats.rankdata(-drawn, axis=1)
    own = stats.rankdata(-centre)
    rank_low, rank_high = np.quantile(ranks, (0.05, 0.95), axis=0)
    return {
        name: Stability(
            low=float(min(low[j], centre[j])), high=float(max(high[j], centre[j])),  # equal but for rounding
            rank_low=float(min(rank_low[j], own[j])), rank_high=float(max(rank_high[j], own[j])),
        )
        for j, name in enumerate(whole)
    }  # fmt: skip
