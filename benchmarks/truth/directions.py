"""Arrows of direction: how often a study shows one at a parameter that does nothing, and one at that which does."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from benchmarks.truth.fabricated import Truth
from benchmarks.truth.interactions import PARAMS, cycles, prune, study
from benchmarks.truth.names import lines
from reprtune.analysis.directions import RankTrend, directions
from reprtune.analysis.rebuilt import Row
from reprtune.spec.space import Choice

N_TRIALS = (32, 60, 120)
ORDERED = tuple(name for name, range_ in PARAMS.items() if not isinstance(range_, Choice))

TRUTHS: dict[str, tuple[Truth, tuple[str, ...]]] = {  # with the parameters that do something
    "nothing matters": (lambda _, r: r.normal(), ()),
    "only cycles": (lambda d, r: cycles(d) + r.normal(0, 0.7), ("cycles",)),
    "only cycles, a little": (lambda d, r: 0.5 * cycles(d) + r.normal(0, 0.7), ("cycles",)),
    "only cycles = 4 differs": (lambda d, r: 3 * (d["cycles"] == 4) + r.normal(0, 0.7), ("cycles",)),
    "only cycles, noise grows with them": (
        lambda d, r: cycles(d) + r.normal(0, d["cycles"] ** 2 / 4),
        ("cycles",),
    ),
    "prune and cycles multiply": (
        lambda d, r: math.exp(0.6 * (prune(d) + cycles(d)) + r.normal(0, 0.3)),
        ("prune_ratio", "cycles"),
    ),
}


def after(seen: tuple[Row, ...]) -> set[str]:
    """Parameters with an arrow on the page."""
    found = directions([dict(d) for d, _ in seen], [y for _, y in seen], PARAMS)
    return {name for name, rank in found.items() if isinstance(rank, RankTrend) and rank.sign}


def before(seen: tuple[Row, ...]) -> set[str]:
    """Spearman's correlation of each parameter alone, where its 95 % interval has no 0."""
    y = np.array([value for _, value in seen])
    return {name for name in ORDERED if _is_sure([dict(d)[name] for d, _ in seen], y)}


def _is_sure(x: list[float], y: np.ndarray) -> bool:
    rho = float(stats.spearmanr(x, y).statistic)
    return abs(math.atanh(rho)) > 1.959964 * math.sqrt((1 + rho**2 / 2) / (len(y) - 3))


def main(studies: int) -> None:
    """One line for each number of trials, truth and formula."""
    for line in lines(TRUTHS, N_TRIALS, study, {"before": before, "after": after}, studies, "arrow"):
        print(line, flush=True)
