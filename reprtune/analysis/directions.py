"""Does an objective rise or fall with a searched parameter, given all the others?

Parameters go together in the draws that fit the total length, and in what a sampler likes to try, so a parameter
that does nothing correlates with an objective that another one moves. So what the others do alone is taken out of
both first. Still an association in the trials at hand: of a pair that acts together, an average over the draws.

*Notations*

    n        complete trials that have the parameter
    x, y     values of an ordered parameter (log10 of it on a logarithmic range) and of the objective
    C, k     what the other parameters do alone (`reprtune.analysis.terms`) with the constant, and its rank
    df       n - k - 1
    plain    Spearman's rank correlation of x and y, the others left as they are
    rho      correlation of the residuals of the ranks of x and of y on C (partial); its 95 % interval is
             tanh(atanh(rho) -+ 1.96 s) with s = sqrt((1 + rho^2 / 2) / (n - k - 2)) (Bonett and Wright 2000,
             Psychometrika 65:23-28, with the trials less that the other terms use up)
    p        of t = rho sqrt(df / (1 - rho^2)) on df; p_holm = corrected (Holm) over the ordered parameters of one
             objective
    change   Theil-Sen slope (the median of all pairwise slopes, with Sen's 95 % interval) of the residuals of y on
             those of x, times the width of the searched range: from its lowest to its highest value, in the
             objective's unit. The interval is sqrt((n - 2) / df) times as wide for the terms used up
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from reprtune.analysis.level import ALPHA, LEVEL
from reprtune.analysis.paired import holm
from reprtune.analysis.terms import basis, drawn_columns, mains, place, width, without
from reprtune.spec.space import Choice, Range

MIN_TRIALS = 10  # with no other parameter; one more for each of their terms

Drawn = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RankTrend:
    """Of an ordered parameter over `n` trials, given the others, which have `n_terms` terms; see *Notations*.

    `change` is None where there is none.
    """

    n: int
    plain: float
    rho: float
    low: float
    high: float
    p: float
    p_holm: float
    n_terms: int
    change: float | None
    change_low: float | None
    change_high: float | None

    @property
    def sign(self) -> int:
        """1 where the objective surely rises with the parameter, -1 where it falls, else 0."""
        return 0 if self.p_holm >= ALPHA else 1 if self.rho > 0 else -1


def directions(
    drawn: Sequence[Drawn], y: Sequence[float], params: Mapping[str, Range]
) -> dict[str, RankTrend | str]:
    """Every ordered parameter: its direction, or a sentence that says why it has none."""
    found: dict[str, RankTrend | str] = {}
    for name, range_ in params.items():
        if not isinstance(range_, Choice):
            own = [i for i, d in enumerate(drawn) if name in d]
            found[name] = _direction([drawn[i] for i in own], np.array([y[i] for i in own]), name, params)
    known = {name: rank for name, rank in found.items() if isinstance(rank, RankTrend)}
    for (name, rank), p in zip(known.items(), holm([rank.p for rank in known.values()]), strict=True):
        found[name] = replace(rank, p_holm=rank.p if p is None else p)
    return found


def _direction(
    drawn: Sequence[Drawn], y: np.ndarray, name: str, params: Mapping[str, Range]
) -> RankTrend | str:
    range_, n = params[name], len(drawn)
    x = np.array([place(range_, d[name]) for d in drawn])
    if len(set(x.tolist())) < 2:
        return f"{name} took one value only." if n else f"No complete trial has {name}."
    if len(set(y.tolist())) < 2:
        return "The objective took one value only."
    others = basis(_others(drawn, name, params))
    k = others.shape[1]
    if n < k - 1 + MIN_TRIALS:
        beside = f" beside {k - 1} terms of the other parameters" if k > 1 else ""
        return f"A direction of {name}{beside} needs {k - 1 + MIN_TRIALS} complete trials, but there are {n}."
    ranks = without(others, stats.rankdata(x)), without(others, stats.rankdata(y))
    if _is_small(ranks[0], n) or _is_small(ranks[1], n):
        what = name if _is_small(ranks[0], n) else "the objective"
        return (
            f"In these trials {what} follows from the other parameters, which leaves no direction of {name}."
        )
    return _rank(x, y, ranks, others, width(range_))


def _others(drawn: Sequence[Drawn], name: str, params: Mapping[str, Range]) -> np.ndarray:
    there = {other: range_ for other, range_ in params.items() if other != name}
    if not there:
        return np.ones((len(drawn), 1))
    return mains(there, drawn_columns(drawn, list(there)))


def _is_small(ranks: np.ndarray, n: int) -> bool:
    """Of ranks 1 to n nothing but rounding is left."""
    return float(np.linalg.norm(ranks)) < 1e-7 * n**1.5


def _rank(
    x: np.ndarray, y: np.ndarray, ranks: tuple[np.ndarray, np.ndarray], others: np.ndarray, span: float
) -> RankTrend:
    n, k = others.shape
    df, rho = n - k - 1, float(np.corrcoef(*ranks)[0, 1])
    inside = min(max(rho, -1 + 1e-12), 1 - 1e-12)
    half = stats.norm.ppf((1 + LEVEL) / 2) * math.sqrt((1 + rho**2 / 2) / (df - 1))
    p = float(2 * stats.t.sf(abs(inside) * math.sqrt(df / (1 - inside**2)), df))
    change = _change(without(others, x) / span, without(others, y), math.sqrt((n - 2) / df))
    return RankTrend(
        n=n,
        plain=float(stats.spearmanr(x, y).statistic),
        rho=rho,
        low=math.tanh(math.atanh(inside) - half),
        high=math.tanh(math.atanh(inside) + half),
        p=p,
        p_holm=p,
        n_terms=k - 1,
        change=change[0],
        change_low=change[1],
        change_high=change[2],
    )


def _change(x: np.ndarray, y: np.ndarray, wider: float) -> list[float | None]:
    """Slope and its interval. Rounded: values that differ by rounding alone have no slope between them."""
    middle, _, low, high = stats.theilslopes(y, np.round(x, 9), LEVEL)
    ends = [middle, middle - wider * (middle - low), middle + wider * (high - middle)]
    return [float(end) if math.isfinite(end) else None for end in ends]
