"""Factorial designs: balanced sums of squares by hand, statsmodels' numbers, paired effects, what is missing is said."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from reprtune.analysis.cells import Run, WhyNot
from reprtune.analysis.factorial import Factorial, factorial
from reprtune.analysis.variance import Why
from reprtune.errors import StudyError

TWO = {"A": ("off", "on"), "B": ("low", "high")}
THREE = {"A": ("off", "on"), "B": ("a", "b", "c"), "C": ("x", "y")}
HALF = {"A": ("-", "+"), "B": ("-", "+"), "C": ("-", "+")}
ALIASES = {"A": ("B:C",), "B": ("A:C",), "C": ("A:B",)}


def simulated(
    factors: Mapping[str, tuple[str, ...]],
    error: Callable[[dict[str, str]], float] = lambda _: 0.0,
    seeds: int = 4,
    sd: float = 0.01,
    seed: int = 0,
) -> list[Run]:
    """Every cell with every seed: a part of the seed, the cell's true error, noise."""
    rng = np.random.default_rng(seed)
    block = rng.normal(0, 0.02, seeds)
    cells = [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]
    return [
        Run(levels=c, seed=s, error=0.2 + block[s] + error(c) + sd * rng.standard_normal())
        for c in cells
        for s in range(seeds)
    ]


def frame(runs: list[Run]) -> pd.DataFrame:
    return pd.DataFrame([{"y": r.error, "seed": str(r.seed), **r.levels} for r in runs])


def half(**kwargs) -> list[Run]:
    """The half of 2 x 2 x 2 with C = A B."""
    return [
        r for r in simulated(HALF, **kwargs) if (r.levels["A"] == r.levels["B"]) == (r.levels["C"] == "+")
    ]


def named(found: Factorial) -> list[str]:
    return [t.label for t in found.terms]


def test_balanced_sums_of_squares_by_hand() -> None:
    """In a balanced design SS is what its textbook formula gives; share and omega squared follow from it."""
    runs = simulated(TWO, lambda c: 0.02 * (c["A"] == "on") + 0.01 * (c["B"] == "high"))
    y = np.array([r.error for r in runs]).reshape(2, 2, 4)
    m = y.mean()
    a, b, s = y.mean(axis=(1, 2)) - m, y.mean(axis=(0, 2)) - m, y.mean(axis=(0, 1)) - m
    ab = y.mean(axis=2) - m - a[:, None] - b[None, :]
    ss = np.array([8 * (a**2).sum(), 8 * (b**2).sum(), 4 * (ab**2).sum()])
    block = 4 * (s**2).sum()
    total = ((y - m) ** 2).sum()
    mse = (total - block - ss.sum()) / 9
    found = factorial(runs, TWO)
    assert [t.name for t in found.terms] == ["A", "B", "A:B"]
    assert found.residual_df == 9
    np.testing.assert_allclose([t.ss for t in found.terms], ss)
    np.testing.assert_allclose([t.f for t in found.terms], ss / mse)
    np.testing.assert_allclose([t.p for t in found.terms], stats.f.sf(ss / mse, 1, 9))
    np.testing.assert_allclose([t.share for t in found.terms], ss / (total - block))
    np.testing.assert_allclose([t.omega2 for t in found.terms], (ss - mse) / (ss + 15 * mse))


@pytest.mark.parametrize("missing", [0, 3])
def test_terms_are_those_of_statsmodels(missing: int) -> None:
    """Type II sums of squares and Holm's p are statsmodels' own, also with missing runs."""
    runs = simulated(THREE, lambda c: 0.02 * (c["B"] == "c") * (c["A"] == "on"))[missing:]
    oracle = anova_lm(ols("y ~ seed + A + B + C + A:B + A:C + B:C", frame(runs)).fit(), typ=2)
    rows = oracle.loc[["A", "B", "C", "A:B", "A:C", "B:C"]]
    found = factorial(runs, THREE).terms
    assert [t.df for t in found] == list(rows.df)
    np.testing.assert_allclose([t.ss for t in found], rows.sum_sq)
    np.testing.assert_allclose([t.p for t in found], rows["PR(>F)"])
    holm = multipletests(rows["PR(>F)"], method="holm")[1]
    np.testing.assert_allclose([t.p_holm for t in found], holm)


def test_effects_are_paired_by_seed() -> None:
    """A level's effect is a paired t interval over per-seed means, against the first level of its factor."""
    runs = simulated(THREE, lambda c: 0.02 * (c["B"] == "c"))
    data = frame(runs)
    for effect in factorial(runs, THREE).effects:
        means = data.groupby(["seed", effect.factor]).y.mean().unstack()
        d = means[effect.level] - means[THREE[effect.factor][0]]
        low, high = stats.t.interval(0.95, 3, d.mean(), stats.sem(d))
        shown = effect.comparison.judged
        assert effect.reference == THREE[effect.factor][0]
        assert shown is not None
        assert (shown.mean, shown.low, shown.high) == pytest.approx((d.mean(), low, high))
        assert effect.comparison.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
        assert effect.mean == pytest.approx(means[effect.level].mean())


def test_two_factors_together_by_hand() -> None:
    """The difference of differences, paired by seed; of pairs with more than two levels there is the F alone."""
    runs = simulated(THREE, lambda c: 0.03 * (c["A"] == "on") * (c["C"] == "y"))
    at = frame(runs).groupby(["seed", "A", "C"]).y.mean().unstack().unstack()
    d = (at["y", "on"] - at["y", "off"]) - (at["x", "on"] - at["x", "off"])
    (pair,) = factorial(runs, THREE).together
    assert (pair.first, pair.second) == ("A", "C")
    assert pair.comparison.judged is not None
    assert pair.comparison.judged.mean == pytest.approx(d.mean())
    assert pair.comparison.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue)


def test_a_fraction_names_its_aliases_and_fits_them_once() -> None:
    """A main effect carries what it cannot be told from, and no interaction that is one of these is fitted again."""
    found = factorial(half(), HALF, aliased=ALIASES)
    assert named(found) == ["A (+ B:C)", "B (+ A:C)", "C (+ A:B)"]
    assert found.together == ()
    assert {e.factor: e.aliases for e in found.effects} == ALIASES


def test_incomplete_seeds_are_left_out_of_effects_only() -> None:
    """A seed without a run in every cell enters the analysis of variance, and no paired effect."""
    runs = simulated(TWO)[1:]
    found = factorial(runs, TWO)
    assert (found.seeds, found.left_out, found.n_runs) == ((1, 2, 3), (0,), 15)
    data = frame([r for r in runs if r.seed])
    means = data.groupby("A").y.mean()
    assert found.effects[0].mean == pytest.approx(means["on"])
    assert found.residual_df == 15 - 4 - 3


def test_a_cell_that_has_no_run_leaves_no_complete_seed() -> None:
    """Cells of the design count, not only those that have runs."""
    runs = [r for r in simulated(TWO) if r.levels != {"A": "on", "B": "high"}]
    cells = [dict(zip(TWO, levels, strict=True)) for levels in itertools.product(*TWO.values())]
    found = factorial(runs, TWO, cells=cells)
    assert found.why_not is WhyNot.FEW_SEEDS
    assert found.effects == ()
    assert named(found) == ["A", "B"]  # what three cells can tell apart


def test_reasons_stand_where_numbers_cannot() -> None:
    """One seed, no run, nothing left for noise, no noise, levels that do not go together: each is said."""
    one = factorial(simulated(TWO, seeds=1), TWO)
    assert (one.why, one.why_not, one.terms) == (Why.FEW_SEEDS, WhyNot.FEW_SEEDS, ())
    assert factorial([], TWO).why_not is WhyNot.NO_CELL
    two = [Run(levels={"A": level}, seed=s, error=0.1 * s) for s, level in enumerate(("off", "on", "off"))]
    assert factorial(two, {"A": ("off", "on")}).why is Why.NO_TERM
    left = [*two, Run(levels={"A": "on"}, seed=0, error=0.3)]
    assert factorial(left, {"A": ("off", "on")}).why is Why.NO_RESIDUAL
    exact = simulated(TWO, lambda c: 0.1 * (c["A"] == "on"), sd=0)
    assert factorial(exact, TWO).why is Why.NO_SPREAD
    corner = [r for r in simulated(TWO) if r.levels != {"A": "on", "B": "high"}]
    assert factorial(corner, TWO).why_not is WhyNot.UNBALANCED


def test_an_unknown_level_is_refused() -> None:
    """The message names the factor and its levels."""
    with pytest.raises(StudyError, match="must be one of off, on, but got 'up'"):
        factorial([Run(levels={"A": "up"}, seed=0, error=0.1)], {"A": ("off", "on")})
