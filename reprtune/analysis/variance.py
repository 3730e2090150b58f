"""The analysis of variance of a factorial design with seeds as blocks; for the notations see `reprtune.analysis.factorial`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from reprtune.analysis.paired import NO_SPREAD, holm

TermKey = tuple[int, ...]  # positions of its factors


class Why(str, Enum):
    """Why there is no analysis of variance."""

    FEW_SEEDS = "fewer than two seeds have runs"
    NO_TERM = "the runs have two levels of no factor"
    NO_RESIDUAL = "no run is left over to judge the noise by"
    NO_SPREAD = "the terms explain all errors, so there is no noise to judge by"


@dataclass(frozen=True, kw_only=True)
class Term:
    """One term; `factors` in the order of the design, `aliases` what it cannot be told from."""

    factors: tuple[str, ...]
    df: int
    ss: float
    f: float
    p: float
    p_holm: float | None
    share: float
    omega2: float
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`A:B`."""
        return ":".join(self.factors)

    @property
    def label(self) -> str:
        """With its aliases: `A (+ B:C)`."""
        return f"{self.name} (+ {' + '.join(self.aliases)})" if self.aliases else self.name


def anova(
    errors: Sequence[float],
    seeds: Sequence[int],
    cells: Sequence[tuple[str, ...]],
    factors: Iterable[str],
    aliased: Mapping[frozenset[str], tuple[str, ...]],
) -> tuple[tuple[Term, ...], Why | None, int | None]:
    """Terms, or why there are none; and the residual degrees of freedom. A run for each error."""
    if len({*seeds}) < 2:
        return (), Why.FEW_SEEDS, None
    keys = estimable(cells, seeds)
    if not keys:
        return (), Why.NO_TERM, None
    columns = {f"f{i}": np.array(column) for i, column in enumerate(zip(*cells, strict=True))}
    y, of_seed = np.asarray(errors, dtype=float), np.asarray(seeds)
    data = pd.DataFrame({"y": y, "seed": of_seed, **columns})
    parts = [":".join(f"C(f{i})" for i in key) for key in keys]
    fitted = ols(f"y ~ C(seed) + {' + '.join(parts)}", data).fit()
    df = int(fitted.df_resid)
    if df < 1:
        return (), Why.NO_RESIDUAL, df
    if fitted.mse_resid < NO_SPREAD**2:
        return (), Why.NO_SPREAD, df
    table = anova_lm(fitted, typ=2)
    within = sum(float(((y[of_seed == s] - y[of_seed == s].mean()) ** 2).sum()) for s in {*seeds})
    names, ps = list(factors), holm([float(table.loc[part, "PR(>F)"]) for part in parts])
    terms = tuple(
        _term(table.loc[part], tuple(names[i] for i in key), p, within, len(errors), aliased)
        for key, part, p in zip(keys, parts, ps, strict=True)
    )
    return terms, None, df


def _term(
    row: Any,
    factors: tuple[str, ...],
    p_holm: float | None,
    within: float,
    n: int,
    aliased: Mapping[frozenset[str], tuple[str, ...]],
) -> Term:
    more = float(row["df"] * (row["F"] - 1))
    return Term(
        factors=factors,
        df=round(row["df"]),
        ss=float(row["sum_sq"]),
        f=float(row["F"]),
        p=float(row["PR(>F)"]),
        p_holm=p_holm,
        share=float(row["sum_sq"]) / within,
        omega2=more / (more + n),
        aliases=aliased.get(frozenset(factors), ()),
    )


def estimable(cells: Sequence[tuple[str, ...]], seeds: Sequence[int]) -> list[TermKey]:
    """Factors, then pairs of them: those that add all of their columns to what is there, beginning with the blocks."""
    if not cells:
        return []
    columns = [_indicators(column) for column in zip(*cells, strict=True)]
    there = np.column_stack([np.ones(len(cells)), _indicators([str(s) for s in seeds])])
    rank, found = int(np.linalg.matrix_rank(there)), []
    singles: list[TermKey] = [(i,) for i in range(len(columns))]
    for key in (*singles, *itertools.combinations(range(len(columns)), 2)):
        if any((i,) not in found for i in key if len(key) > 1):
            continue
        new = columns[key[0]]
        for i in key[1:]:
            new = (new[:, :, None] * columns[i][:, None, :]).reshape(len(cells), -1)
        grown = np.column_stack([there, new])
        if new.shape[1] and (now := int(np.linalg.matrix_rank(grown))) == rank + new.shape[1]:
            there, rank = grown, now
            found.append(key)
    return found


def _indicators(values: Sequence[str]) -> np.ndarray:
    """A column for each value but the first."""
    return np.array([[v == level for level in sorted({*values})[1:]] for v in values], dtype=float).reshape(
        len(values), -1
    )
