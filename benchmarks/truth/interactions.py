"""Pairs of parameters: how often a study names a pair that does not act together, and how often the one that does."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

from benchmarks.truth.fabricated import Params, Truth, draw
from benchmarks.truth.names import lines
from reprtune.analysis.interactions import PairName, measured
from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import holm
from reprtune.analysis.rebuilt import Row
from reprtune.analysis.terms import drawn_columns, linear, products
from reprtune.spec.space import Choice
from studies.repr_ablation import STUDY

N_TRIALS = (60, 120)
PARAMS = STUDY.params
PAIRS = tuple(itertools.combinations(PARAMS, 2))
TRUE = ("prune_ratio", "cycles")


def prune(d: Params) -> float:
    """The prune ratio with about mean 0 and standard deviation 1; `cycles` and `s2` likewise."""
    return (float(d["prune_ratio"]) - 0.35) / 0.16


def cycles(d: Params) -> float:
    return (float(d["cycles"]) - 2.5) / 1.1


def s2(d: Params) -> float:
    return (float(d["s2_epochs"]) - 12.5) / 5.6


TRUTHS: dict[str, tuple[Truth, tuple[PairName, ...]]] = {  # with the pairs that do act together
    "main effects only": (lambda d, r: prune(d) + cycles(d) + r.normal(0, 0.7), ()),
    "prune x cycles": (lambda d, r: prune(d) * cycles(d) + r.normal(0, 0.7), (TRUE,)),
    "only cycles = 4 differs": (lambda d, r: 3 * (d["cycles"] == 4) + r.normal(0, 0.7), ()),
    "effects multiply": (
        lambda d, r: float(np.exp(0.6 * (prune(d) + cycles(d)) + r.normal(0, 0.3))),
        (TRUE,),
    ),
    "noise grows with prune": (
        lambda d, r: prune(d) + r.normal(0, 0.3 + 2.4 * (d["prune_ratio"] - 0.1)),
        (),
    ),
    "noise grows with cycles": (lambda d, r: cycles(d) + r.normal(0, d["cycles"] ** 2 / 4), ()),
    "noise of a few outliers": (lambda d, r: prune(d) + cycles(d) + float(r.standard_t(2)), ()),
    "s2 x cycles, which go together": (
        lambda d, r: 1.5 * s2(d) * cycles(d) + r.normal(0, 0.7),
        (("s2_epochs", "cycles"),),
    ),
}


def study(truth: Truth, n: int, seed: int) -> tuple[Row, ...]:
    """What `n` complete trials drew, and what came out."""
    rng = np.random.default_rng((n, seed))
    drawn = [draw(STUDY, rng) for _ in range(n)]
    return tuple((tuple(d.items()), float(truth(d, rng))) for d in drawn)


def after(seen: tuple[Row, ...]) -> set[PairName]:
    """Pairs that the product names."""
    found = measured(seen, tuple(PARAMS.items()), PAIRS, "val_error")
    return {(m.first, m.second) for m in found if m.p_holm is not None and m.p_holm < ALPHA}


def before(seen: tuple[Row, ...]) -> set[PairName]:
    """Each pair's products alone beside straight and quadratic main effects, by F."""
    drawn, y = drawn_columns([dict(d) for d, _ in seen], list(PARAMS)), np.array([v for _, v in seen])
    z = {name: linear(range_, drawn[name]) for name, range_ in PARAMS.items()}
    squares = [z[name] ** 2 for name, range_ in PARAMS.items() if not isinstance(range_, Choice)]
    main = np.hstack([np.ones((len(y), 1)), *z.values(), *squares])
    p = holm([_f_test(y, main, np.hstack([main, products(z[a], z[b])])) for a, b in PAIRS])
    return {pair for pair, of in zip(PAIRS, p, strict=True) if of is not None and of < ALPHA}


def _f_test(y: np.ndarray, small: np.ndarray, large: np.ndarray) -> float:
    (b, _, k, _), (c, _, more, _) = (np.linalg.lstsq(X, y, rcond=None) for X in (small, large))
    rss, less = ((y - X @ beta) @ (y - X @ beta) for X, beta in ((small, b), (large, c)))
    q, df = more - k, len(y) - more
    return float(stats.f.sf((rss - less) / q / (less / df), q, df)) if q else 1.0


def main(studies: int) -> None:
    """One line for each number of trials, truth and formula."""
    for line in lines(TRUTHS, N_TRIALS, study, {"before": before, "after": after}, studies, "pair"):
        print(line, flush=True)
