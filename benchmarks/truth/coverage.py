"""How often the paired t interval holds the true mean difference, by the shape of the differences.

*Notations*

    n          pairs; each differs by a draw from a distribution with mean 0
    coverage   share of intervals that hold 0; 95 % is what they promise
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from benchmarks.truth.shares import share
from reprtune.analysis.paired import SeedValue, paired

PAIRS = (3, 5, 10, 20, 30)
SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "exponential": lambda rng, n: rng.standard_exponential(n) - 1,
    "lognormal, sigma 1": lambda rng, n: np.exp(rng.standard_normal(n)) - math.exp(0.5),
}


def main(studies: int) -> None:
    """Ten intervals for each study that is asked for: they cost little."""
    rng = np.random.default_rng(12)
    for shape, drawn in SHAPES.items():
        for n in PAIRS:
            hits = sum(holds(drawn(rng, n)) for _ in range(10 * studies))
            print(f"  {shape:20} n {n:2}  coverage {share(hits, 10 * studies)}")


def holds(differences: np.ndarray) -> bool:
    """Does the product's interval of these differences hold 0?"""
    ours = [SeedValue(seed=i, value=float(d)) for i, d in enumerate(differences)]
    found = paired(ours, [SeedValue(seed=v.seed, value=0.0) for v in ours])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low <= 0 <= found.high
