"""Whether a parameter matters at all: its importance against those from outcomes exchanged among the trials.

Where nothing matters, every exchange of outcomes was as likely as what was found, so the p below is right for
any number of exchanges (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585). The largest is held against the largest, so that a
study in which nothing matters seldom names any parameter (max-T, Westfall and Young 1993). Each importance is taken in
standard deviations of its own by chance, else parameters with many values would stand first by chance alone;
and as its cube root, which takes the long tail off sums of squares (Wilson and Hilferty 1931). fANOVA's is a share of
what its forest explains, so several parameters that matter would hide each other: it is multiplied by how much such
a forest explains.

*Notations*

    B       number of exchanges
    T_bj    cube root of the raw importance of parameter j from exchange b; b = 0 is what was found
    z_bj    (T_bj - mean_b T_bj) / sd_b T_bj, over b = 0 ... B
    p_j     share of b = 0 ... B with max_k z_bk >= z_0j, times the number of methods that are asked, at most 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reprtune.analysis.evaluators import METHODS, Evaluator, Forest
from reprtune.analysis.features import features
from reprtune.analysis.rebuilt import Row
from reprtune.spec.space import Range

# One more in 40 makes p, doubled, 0.05 at once: other numbers of exchanges would be no surer.
N_EXCHANGES = {"ped-anova": 120, "fanova": 40}
MAX_TRIALS = 2000  # keeps large studies within seconds
SMALL = Forest(n_trees=8, max_depth=3)  # 16 ms instead of 0.5 s; finds as much, as it fits less noise


def p_values(
    seen: Sequence[Row], params: Mapping[str, Range], method: str, best_share: float | None, seed: int
) -> dict[str, float]:
    """Parameter -> p, for all parameters and both methods together: below `ALPHA` it is shown to matter. Of more than
    `MAX_TRIALS` a random part of that many is exchanged: what they cannot show matters little."""
    rng = np.random.default_rng(seed)
    if len(seen) > MAX_TRIALS:
        seen = [seen[i] for i in np.sort(rng.choice(len(seen), MAX_TRIALS, replace=False))]
    evaluator = Evaluator(seen, params, best_share)
    values = [value for _, value in seen]
    outcomes = [values, *(list(rng.permutation(values)) for _ in range(N_EXCHANGES[method]))]
    raw = [evaluator.raw(y, SMALL, seed + b) for b, y in enumerate(outcomes)]
    table = np.cbrt([[one[name] for name in params] for one in raw])
    if best_share is None:
        x = features([dict(drawn) for drawn, _ in seen], params)
        table *= np.cbrt([[_explained(x, np.array(y), seed + b)] for b, y in enumerate(outcomes)])
    return dict(zip(params, (float(p) for p in _corrected(table)), strict=True))


def _explained(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Variance of what a small forest says of the trials that it was fitted to."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=SMALL.n_trees, max_depth=SMALL.max_depth, random_state=seed
    ).fit(x, y)
    return float(forest.predict(x).var() / (y.var() or 1.0))


def _corrected(table: np.ndarray) -> np.ndarray:
    """T -> p; equal numbers that differ by rounding only count as equal."""
    spread = table.std(axis=0)
    z = np.divide(table - table.mean(axis=0), spread, out=np.zeros_like(table), where=spread > 0).round(9)
    largest = z.max(axis=1)
    p: np.ndarray = np.mean(largest[:, None] >= z[0], axis=0)
    return np.minimum(1, len(METHODS) * p)
