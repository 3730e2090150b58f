"""Do two parameters act together beyond what each does alone?

A linear model of the objective: the main effects of all searched parameters and the products of all their pairs,
fitted together, because parameters go together in the draws that fit the total length: of a pair alone, the
product of another one would be seen. Each pair is tested by what it adds to all the others. Complete trials only.

*Notations*

    main     what each parameter does alone, straight, curved or in steps (`reprtune.analysis.terms`)
    pair     the products of one parameter's z or indicators with the other's
    n, k     trials, terms of the whole model; q of them belong to the pair and to no other term; df = n - k
    gain     residual sum of squares without the pair minus that with it; s2 the latter over df; TSS about the mean
    omega2   (gain - q s2) / (TSS + s2): the share of all variance that the pair explains beyond everything else,
             corrected for what q terms explain by chance (Hays 1963); about 0, of either sign, without one
    range    L s2 / (TSS + s2) at both ends of the 90 % interval of L, the noncentrality of
             F = (gain / q) / s2 (Steiger 2004, Psychological Methods 9:164-182)
    f        Wald's statistic of the q terms over q, with the covariance HC3 (MacKinnon and White 1985): it holds
             where the noise is larger in some part of the space
    p        the share of shuffles of the residuals of the model without the pair whose f is as large (Freedman and
             Lane 1983; studentized as in DiCiccio and Romano 2017, JASA 112:1211-1220): of `N_FIRST` where that is
             above `FAR`, which decides nothing any more, else of `N_SHUFFLES`; p_holm = corrected (Holm) over the
             pairs of one objective. Why this test: `python -m benchmarks.truth interactions`, and LOG.md
    p_log    p for the logarithm of the objective, of pairs with p_holm < 0.05: effects that multiply add up there
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import special

from reprtune.analysis.importance import importances, leading, rows
from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import holm
from reprtune.analysis.rebuilt import Row
from reprtune.analysis.terms import basis, drawn_columns, linear, mains, products, without
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Range

MAX_PARAMS = 5  # whose pairs are tested; the model holds the pairs of all
MIN_FREE = 10  # degrees of freedom that the whole model must leave
N_FIRST, FAR, N_SHUFFLES = 99, 0.2, 999
MAX_TRIALS = 1000

PairName = tuple[str, str]
Products = Mapping[PairName, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """One pair and one objective.

    Attributes:
        n: complete trials in the fit. n_terms: of the whole model, with its constant.
        omega2, low, high: share of variance beyond everything else in the model, and its 90 % interval.
        f, p, p_holm, q, df: the test; None with `reason`, a sentence that says what is missing.
        p_log: of a pair that is significant, where the objective is always above 0.
    """

    objective: str
    first: str
    second: str
    n: int
    n_terms: int = 0
    omega2: float | None = None
    low: float | None = None
    high: float | None = None
    f: float | None = None
    q: int = 0
    df: int = 0
    p: float | None = None
    p_holm: float | None = None
    p_log: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Model:
    """A basis of all terms, how far each trial alone decides its own fit, and the shuffles, one a column."""

    main: np.ndarray
    products: Products
    full: np.ndarray
    leverage: np.ndarray
    shuffles: np.ndarray


def interactions(record: StudyRecord, seed: int = 0) -> tuple[Interaction, ...]:
    """Pairs of the `MAX_PARAMS` most important parameters, for every objective; equal content once."""
    pairs = tuple(itertools.combinations(leading(importances(record, seed), MAX_PARAMS), 2))
    params = tuple(record.spec.params.items())
    return tuple(
        pair
        for objective in record.spec.objectives
        for pair in measured(rows(record, objective), params, pairs, objective, seed)
    )


@lru_cache(maxsize=16)
def measured(
    seen: tuple[Row, ...],
    params: tuple[tuple[str, Range], ...],
    pairs: tuple[PairName, ...],
    objective: str,
    seed: int = 0,
) -> tuple[Interaction, ...]:
    """These pairs, of the trials seen, in a model with all pairs of `params`."""
    if len(seen) > MAX_TRIALS:
        seen = tuple(random.Random(seed).sample(seen, MAX_TRIALS))
    n, empty = len(seen), [Interaction(objective=objective, first=a, second=b, n=len(seen)) for a, b in pairs]
    if not n:
        return tuple(replace(pair, reason="There is no complete trial.") for pair in empty)
    model = _model(seen, params, seed)
    k, n_pairs = model.full.shape[1], len(model.products)
    empty = [replace(pair, n_terms=k, df=n - k) for pair in empty]
    if n < k + MIN_FREE:
        reason = (
            f"All {n_pairs} pairs of the searched parameters and what each does alone are {k} terms, too many for "
            f"{n} complete trials: {k + MIN_FREE} or more are needed."
        )
        return tuple(replace(pair, reason=reason) for pair in empty)
    y = np.array([value for _, value in seen])
    found = [_interaction(pair, model, y) for pair in empty]
    corrected = holm([pair.p for pair in found if pair.p is not None])
    known = iter(corrected)
    return tuple(
        pair if pair.p is None else _with_log(replace(pair, p_holm=next(known)), model, y) for pair in found
    )


def _model(seen: tuple[Row, ...], params: tuple[tuple[str, Range], ...], seed: int) -> _Model:
    drawn = drawn_columns([dict(d) for d, _ in seen], [name for name, _ in params])
    alone = {name: linear(range_, drawn[name]) for name, range_ in params}
    main = mains(dict(params), drawn)
    joint = {(a, b): products(alone[a], alone[b]) for a, b in itertools.combinations(alone, 2)}
    full, rng = basis(np.hstack([main, *joint.values()])), np.random.default_rng(seed)
    return _Model(
        main=main,
        products=joint,
        full=full,
        leverage=np.minimum((full**2).sum(axis=1), 1 - 1e-9),
        shuffles=rng.permuted(np.tile(np.arange(len(seen))[:, None], N_SHUFFLES), axis=0),
    )


def _interaction(empty: Interaction, model: _Model, y: np.ndarray) -> Interaction:
    rest, own = _parts(empty, model)
    q, df = own.shape[1], empty.df
    rss, tss = float((without(model.full, y) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    if q < 1 or rss <= 1e-12 * tss:
        return replace(
            empty, reason=f"{empty.first} with {empty.second}: these trials leave nothing to tell a joint effect by."
        )  # fmt: skip
    gain, s2 = float(((own.T @ y) ** 2).sum()), rss / df
    low, high = (special.ncfdtrinc(q, df, level, gain / q / s2) * s2 / (tss + s2) for level in (0.95, 0.05))
    f, p = _test(model, rest, own, y)
    return replace(
        empty, omega2=(gain - q * s2) / (tss + s2), low=float(low), high=float(high), f=f, q=q, p=p
    )  # fmt: skip


def _with_log(pair: Interaction, model: _Model, y: np.ndarray) -> Interaction:
    if (pair.p_holm or 0) >= ALPHA or y.min() <= 0:
        return pair
    return replace(pair, p_log=_test(model, *_parts(pair, model), np.log(y))[1])


def _parts(pair: Interaction, model: _Model) -> tuple[np.ndarray, np.ndarray]:
    """Bases of everything but the pair, and of what the pair adds to it."""
    of = next(names for names in model.products if set(names) == {pair.first, pair.second})
    rest = basis(np.hstack([model.main, *(p for names, p in model.products.items() if names != of)]))
    own = model.products[of]
    return rest, basis(without(rest, own), float(np.linalg.norm(own)))


def _test(model: _Model, rest: np.ndarray, own: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(f, p)"""
    left = without(rest, y)
    f = float(_wald(model, own, left[:, None])[0])
    p = _share(_wald(model, own, left[model.shuffles[:, :N_FIRST]]), f)
    return f, p if p > FAR else _share(_wald(model, own, left[model.shuffles]), f)


def _share(by_chance: np.ndarray, f: float) -> float:
    """Of these and `f` itself, those that are as large."""
    return float((1 + (by_chance >= f * (1 - 1e-9)).sum()) / (1 + len(by_chance)))


def _wald(model: _Model, own: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Of every column of `ys`: b' V^-1 b / q, b the coefficients on `own` and V their covariance HC3."""
    q, b = own.shape[1], own.T @ ys
    weights = (without(model.full, ys) / (1 - model.leverage)[:, None]) ** 2
    V = (products(own, own).T @ weights).T.reshape(-1, q, q)
    # A term that one trial alone decides has no residual, so no variance: a little, to divide by.
    V += 1e-12 * np.trace(V, axis1=1, axis2=2)[:, None, None] * np.eye(q)
    return np.asarray(np.einsum("ib,bi->b", b, np.linalg.solve(V, b.T[:, :, None])[:, :, 0]) / q)
