"""Do two parameters act together beyond what each does alone?

A linear model of the objective on all searched parameters, fitted twice: with their main effects only, and
with the products of one pair besides. Complete trials only.

*Notations*

    z        value of an ordered parameter on [-1, 1] over its range (of its log10 on a logarithmic one)
    main     1; z and z^2 of each ordered parameter (z^2 where it took three values or more); an indicator of
             every level but the first of each choice
    pair     the products of one parameter's z or indicators with the other's
    RSS, df  residual sum of squares and degrees of freedom; TSS about the mean
    F        ((RSS_main - RSS_full) / q) / (RSS_full / df_full), q = df_main - df_full; p from the F
             distribution, exact for normal noise around such a model; p_holm = corrected
             (Holm) over the pairs of one objective
    omega2   (RSS_main - RSS_full - q s2) / (TSS + s2), s2 = RSS_full / df_full: the share of all variance
             that the pair explains beyond main effects, corrected for what q terms explain by chance
             (Hays 1963); about 0, of either sign, without an interaction
    range    5 % to 95 % of omega2 over fits to random halves of the trials
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from reprtune.analysis.importance import importances, leading, rows
from reprtune.analysis.paired import holm
from reprtune.analysis.rebuilt import Row
from reprtune.analysis.trends import place, width
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Choice, Range

MAX_PARAMS = 5
MIN_FREE = 5  # degrees of freedom that a fit to half of the trials must leave
N_HALVES = 100
MAX_TRIALS = 2000


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """One pair and one objective.

    Attributes:
        n: complete trials in the fit, with all parameters.
        omega2, low, high: share of variance beyond main effects, and its range over `n_halves` halves.
        f, p, p_holm, q, df: the test; None with `reason`, a sentence that says what is missing.
    """

    objective: str
    first: str
    second: str
    n: int
    omega2: float | None = None
    low: float | None = None
    high: float | None = None
    n_halves: int = 0
    f: float | None = None
    q: int = 0
    df: int = 0
    p: float | None = None
    p_holm: float | None = None
    reason: str | None = None


def interactions(record: StudyRecord, seed: int = 0) -> tuple[Interaction, ...]:
    """Pairs of the `MAX_PARAMS` most important parameters, for every objective; equal content once."""
    names = leading(importances(record, seed), MAX_PARAMS)
    pairs = tuple(itertools.combinations(names, 2))
    found: list[Interaction] = []
    for objective in record.spec.objectives:
        seen, params = rows(record, objective), tuple(record.spec.params.items())
        found += _interactions(seen, params, pairs, objective, seed)
    return tuple(found)


@lru_cache(maxsize=16)
def _interactions(
    seen: tuple[Row, ...],
    params: tuple[tuple[str, Range], ...],
    pairs: tuple[tuple[str, str], ...],
    objective: str,
    seed: int,
) -> tuple[Interaction, ...]:
    whole = [(dict(drawn), value) for drawn, value in seen if len(drawn) == len(params)]
    if len(whole) > MAX_TRIALS:
        whole = random.Random(seed).sample(whole, MAX_TRIALS)
    y = np.array([value for _, value in whole])
    blocks = {name: _block(range_, [d[name] for d, _ in whole]) for name, range_ in params}
    main = np.column_stack([np.ones(len(y)), *(squares for _, squares in blocks.values())])
    return _corrected(
        tuple(
            _interaction(
                Interaction(objective=objective, first=a, second=b, n=len(y)),
                y, main, _products(blocks[a][0], blocks[b][0]), seed,
            )
            for a, b in pairs
        )
    )  # fmt: skip


def _block(range_: Range, values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Columns that enter products, and those of the main effect."""
    if isinstance(range_, Choice):
        there = [o for o in range_.options if o in values]
        indicators = np.array([[v == o for o in there[1:]] for v in values], dtype=float)
        indicators = indicators.reshape(len(values), max(0, len(there) - 1))
        return indicators, indicators
    ends, span = range_.values() or range_.ends(), width(range_)
    low = place(range_, float(ends[0]))
    z = np.array([2 * (place(range_, v) - low) / span - 1 if span else 0.0 for v in values])[:, None]
    if len(set(values)) < 2:
        return z[:, :0], z[:, :0]
    return z, np.hstack([z, z**2]) if len(set(values)) > 2 else z


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), a.shape[1] * b.shape[1])


def _interaction(
    empty: Interaction, y: np.ndarray, main: np.ndarray, products: np.ndarray, seed: int
) -> Interaction:
    full = np.hstack([main, products])
    needed = 2 * (_rank(full) + MIN_FREE)
    if len(y) < needed:
        return replace(
            empty,
            reason=f"{empty.first} with {empty.second}: a measure of {_rank(full)} terms needs {needed} "
            f"complete trials with all parameters, but there are {len(y)}.",
        )
    fit = _fit(y, main, full)
    if fit is None:
        return replace(
            empty, reason=f"{empty.first} with {empty.second}: these trials leave nothing to tell a joint effect by."
        )  # fmt: skip
    omega2, f, q, df = fit
    low, high, n_halves = _range(y, main, full, seed)
    return replace(
        empty, omega2=omega2, low=low, high=high, n_halves=n_halves, f=f, q=q, df=df,
        p=float(stats.f.sf(f, q, df)),
    )  # fmt: skip


def _fit(y: np.ndarray, main: np.ndarray, full: np.ndarray) -> tuple[float, float, int, int] | None:
    """(omega2, F, q, df); None where there is nothing left to explain, or nothing to explain it with."""
    (rss_main, rank_main), (rss_full, rank_full) = _residual(y, main), _residual(y, full)
    tss, q, df = float(((y - y.mean()) ** 2).sum()), rank_full - rank_main, len(y) - rank_full
    if q < 1 or df < 1 or rss_full <= 1e-12 * tss:
        return None
    s2 = rss_full / df
    gain = max(0.0, rss_main - rss_full)
    return (gain - q * s2) / (tss + s2), gain / q / s2, q, df


def _residual(y: np.ndarray, X: np.ndarray) -> tuple[float, int]:
    beta, _, rank, _ = np.linalg.lstsq(X, y, rcond=None)
    return float(((y - X @ beta) ** 2).sum()), int(rank)


def _rank(X: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(X)) if X.size else 0


def _range(
    y: np.ndarray, main: np.ndarray, full: np.ndarray, seed: int
) -> tuple[float | None, float | None, int]:
    rng, n, found = np.random.default_rng(seed), len(y), []
    for _ in range(N_HALVES):
        half = rng.permutation(n)[: n // 2]
        fit = _fit(y[half], main[half], full[half])
        if fit is not None:
            found.append(fit[0])
    if len(found) < N_HALVES / 2:
        return None, None, len(found)
    low, high = np.quantile(found, (0.05, 0.95))
    return float(low), float(high), len(found)


def _corrected(found: tuple[Interaction, ...]) -> tuple[Interaction, ...]:
    """With Holm's p over the pairs of one objective that could be tested."""
    corrected = iter(holm([pair.p for pair in found if pair.p is not None]))
    return tuple(pair if pair.p is None else replace(pair, p_holm=next(corrected)) for pair in found)
