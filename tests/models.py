"""Linear models on searched parameters by statsmodels and sums by hand, for what reports state of them.

Parameters as a report's JSON has them: name -> kind and whether logarithmic. `Seen`: what a trial drew, its objective.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api

Params = Mapping[str, Mapping[str, Any]]
Seen = Sequence[tuple[Mapping[str, Any], float]]


def scaled(range_: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray:
    return np.log10(values) if range_.get("log") else np.asarray(values, dtype=float)


def _straight(range_: Mapping[str, Any], values: Sequence[Any]) -> list[list[float]]:
    if range_["kind"] == "choice":
        return [[float(v == o) for v in values] for o in sorted(set(values), key=str)[1:]]
    return [list(scaled(range_, values))] if len(set(values)) > 1 else []


def _alone(range_: Mapping[str, Any], values: Sequence[Any]) -> list[list[float]]:
    if range_["kind"] == "choice" or len(set(values)) <= 6:
        return [[float(v == o) for v in values] for o in sorted(set(values), key=str)[1:]]
    x = scaled(range_, values)
    return [list(x), list(x**2)]


def _columns(params: Params, seen: Seen, names: Sequence[str]) -> list[list[float]]:
    """Constant and main effects; every trial has every parameter."""
    each = [_alone(params[name], [p[name] for p, _ in seen]) for name in names]
    return [[1.0] * len(seen), *itertools.chain.from_iterable(each)]


def direction(params: Params, seen: Seen, name: str) -> tuple[float, float]:
    """Partial rank correlation and its p: of the last coefficient of a regression of ranks."""
    others = np.column_stack(_columns(params, seen, [other for other in params if other != name]))
    x, y = (pd.Series(values).rank() for values in ([p[name] for p, _ in seen], [value for _, value in seen]))
    left = [np.asarray(statsmodels.api.OLS(of, others).fit().resid) for of in (x, y)]
    fit = statsmodels.api.OLS(y, np.column_stack([others, x])).fit()
    return float(np.corrcoef(*left)[0, 1]), float(fit.pvalues.iloc[-1])


def change(params: Params, seen: Seen, name: str, width: float) -> float:
    """The median of all slopes between residuals, over the whole range."""
    others = np.column_stack(_columns(params, seen, [other for other in params if other != name]))
    x, y = scaled(params[name], [p[name] for p, _ in seen]), [value for _, value in seen]
    left = [statsmodels.api.OLS(of, others).fit().resid for of in (x, y)]
    slopes = [
        (d - b) / (c - a)
        for (a, b), (c, d) in itertools.combinations(zip(*left, strict=True), 2)
        if abs(c - a) > 1e-9
    ]
    return statistics.median(slopes) * width


def pair(params: Params, seen: Seen, a: str, b: str) -> tuple[float, float, float]:
    """(share, F of HC3, p of 199 shuffles of the residuals without the pair) in a model with all pairs."""
    y = np.array([value for _, value in seen])
    straight = {name: _straight(r, [p[name] for p, _ in seen]) for name, r in params.items()}
    joint = {
        frozenset(names): [np.multiply(u, v) for u, v in itertools.product(*(straight[n] for n in names))]
        for names in itertools.combinations(params, 2)
    }
    own = joint.pop(frozenset((a, b)))
    rest = np.column_stack([*_columns(params, seen, list(params)), *itertools.chain(*joint.values())])
    whole, q = np.column_stack([rest, *own]), len(own)
    small, large = (statsmodels.api.OLS(y, X).fit() for X in (rest, whole))
    robust = large.get_robustcov_results("HC3", use_t=True)
    omega2 = (small.ssr - large.ssr - q * large.mse_resid) / (large.centered_tss + large.mse_resid)
    f = float(np.squeeze(robust.f_test(np.eye(whole.shape[1])[-q:]).fvalue))
    rng, left, P = np.random.default_rng(1), np.asarray(small.resid), np.linalg.pinv(whole)
    leverage = np.diag(whole @ P)
    by_chance = [_wald(whole, P, leverage, rng.permutation(left), q) for _ in range(199)]
    return float(omega2), f, (1 + sum(w >= f for w in by_chance)) / 200


def _wald(X: np.ndarray, P: np.ndarray, leverage: np.ndarray, y: np.ndarray, q: int) -> float:
    beta = P @ y
    V = (P * ((y - X @ beta) / (1 - leverage)) ** 2) @ P.T
    return float(beta[-q:] @ np.linalg.solve(V[-q:, -q:], beta[-q:]) / q)


def chance_agrees(p: float, other: float) -> bool:
    """A p of 99 shuffles or more and one of 199: within four standard errors of their difference."""
    return abs(p - other) <= 4 * (p * (1 - p) * (1 / 99 + 1 / 199)) ** 0.5 + 0.01
