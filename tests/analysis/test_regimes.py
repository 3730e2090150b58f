"""What a factorial design says of the factor that it asks about: scipy's paired t, regime by regime; corrected by kind."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reprtune.analysis.cells import Run, WhyNot
from reprtune.analysis.factor_runs import FactorRuns
from reprtune.analysis.regimes import Asked, InRegimes, asked

FACTORS = {
    "noise": ("0", "20", "40"),
    "head": ("flatten", "average"),
    "method": ("repr", "standard", "random"),
}
CELLS = [dict(zip(FACTORS, levels, strict=True)) for levels in itertools.product(*FACTORS.values())]


def runs(seeds: int = 5, left_out: int = 0, asks: str | None = "method") -> FactorRuns:
    """Every cell with every seed, but for the last `left_out` runs; standard errs by 3 points more than repr with noise 40."""
    rng = np.random.default_rng(5)
    made = [
        Run(
            levels=cell,
            seed=seed,
            error=0.2
            + 0.02 * seed
            + 0.03 * (cell["method"] == "standard" and cell["noise"] == "40")
            + 0.003 * rng.standard_normal(),
        )
        for cell in CELLS
        for seed in range(seeds)
    ]
    return FactorRuns(
        section="regimes", factors=FACTORS, runs=tuple(made[: len(made) - left_out]), cells=tuple(CELLS), aliased={},
        asked=asks, measured_on="test", n_diverged=0, left=left_out,
    )  # fmt: skip


def found(given: FactorRuns) -> Asked:
    one = asked(given)
    assert one is not None
    return one


def by_hand(given: FactorRuns, levels: Mapping[str, str], control: str) -> tuple[float, float]:
    """Mean difference and p: pandas' means per seed and scipy's paired t test."""
    table = pd.DataFrame([{"error": r.error, "seed": r.seed, **r.levels} for r in given.runs])
    for factor, level in levels.items():
        table = table[table[factor] == level]
    means = table.pivot_table(index="seed", columns="method", values="error", aggfunc="mean")
    test = stats.ttest_rel(means["repr"], means[control])
    return float((means["repr"] - means[control]).mean()), float(test.pvalue)


@pytest.mark.parametrize("family", ["overall", "by_level", "each"])
def test_differences_are_paired_means_over_the_regimes(family: str) -> None:
    """Mean and p of each, and Holm's p over its family, as scipy and statsmodels have them."""
    given = runs()
    ones: tuple[InRegimes, ...] = getattr(found(given), family)
    expected = [by_hand(given, one.levels, one.control) for one in ones]
    differences = [one.comparison.difference for one in ones]
    assert [d.mean for d in differences if d] == pytest.approx([mean for mean, _ in expected])
    assert [one.comparison.p for one in ones] == pytest.approx([p for _, p in expected])
    corrected = multipletests([p for _, p in expected], method="holm")[1]
    assert [one.comparison.p_holm for one in ones] == pytest.approx(list(corrected))


def test_every_level_and_every_regime_is_there_once_for_each_control() -> None:
    """The first level is held against each other one: over all six regimes, by five levels, and in each regime."""
    one = found(runs())
    assert (one.first, one.n_regimes, one.n_seeds) == ("repr", 6, 5)
    assert [(x.name, x.control) for x in one.overall] == [("", "standard"), ("", "random")]
    assert [x.name for x in one.by_level if x.control == "random"] == [
        "noise 0", "noise 20", "noise 40", "head flatten", "head average",
    ]  # fmt: skip
    regimes = [x.name for x in one.each if x.control == "standard"]
    assert len(regimes) == len(set(regimes)) == 6 and "noise 40, head flatten" in regimes


def test_a_planted_effect_is_shown_where_it_is() -> None:
    """Standard's three points more with noise 40: there, and not at the other levels of noise."""
    shown = {(x.name, x.control) for x in found(runs()).by_level if x.comparison.is_shown}
    assert ("noise 40", "standard") in shown
    assert not shown & {("noise 0", "standard"), ("noise 20", "standard")}


def test_incomplete_seeds_are_left_out_and_too_few_are_said() -> None:
    """A seed counts where every cell has it; one seed is no comparison; a design that asks nothing has none."""
    assert found(runs(left_out=1)).n_seeds == 4
    few = found(runs(seeds=2, left_out=1))
    assert few.why_not == WhyNot.FEW_SEEDS and few.overall == ()
    assert asked(runs(asks=None)) is None
