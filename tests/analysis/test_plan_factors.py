"""What a factorial design could see, held against simulated studies that the product analyses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from reprtune.analysis.factorial import Run, factorial
from reprtune.analysis.plan_factors import EffectPlan, planned_effects

FACTORS = {"a": ("0", "1"), "b": ("0", "1"), "c": ("x", "y", "z")}
CELLS = [dict(zip(FACTORS, cell, strict=True)) for cell in itertools.product(*FACTORS.values())]
SEEDS = 5
RUN = 1 / np.sqrt(2)  # sd of a run, where the difference of two has sd 1


def plan() -> dict[str, EffectPlan]:
    return {one.name: one for one in planned_effects(CELLS, SEEDS)}


def contrast(name: str) -> np.ndarray:
    """Weights of the cells that make the effect, written down by hand."""
    signs = {
        "a": [1 if cell["a"] == "1" else -1 for cell in CELLS],
        "c: z": [{"z": 1, "x": -1, "y": 0}[cell["c"]] for cell in CELLS],
        "a:b": [1 if cell["a"] == cell["b"] else -1 for cell in CELLS],
    }[name]
    each = {"a": 6, "c: z": 4, "a:b": 3}[name]  # cells on either side; in each of four corners
    return np.array(signs) / each


@pytest.mark.parametrize("name", ["a", "c: z", "a:b"])
@pytest.mark.parametrize("m", [1, 5])
def test_so_large_an_effect_is_seen_in_four_of_five_studies(name: str, m: int) -> None:
    """Of 20,000 simulated studies, by the paired t test at 5 % and at 5 % / m."""
    effect = plan()[name].one if m == 1 else plan()[name].corrected
    noise = RUN * np.random.default_rng(0).standard_normal((20_000, SEEDS, len(CELLS)))
    tests = stats.ttest_1samp(noise @ contrast(name) + effect, 0, axis=1)
    assert np.mean(tests.pvalue < 0.05 / m) == pytest.approx(0.8, abs=0.012)


def test_the_contrasts_are_those_that_are_analysed() -> None:
    """Names, number and values are those of the analysis of a study: all effects of levels, and pairs of two levels."""
    rng = np.random.default_rng(1)
    errors = rng.standard_normal((SEEDS, len(CELLS)))
    runs = [
        Run(levels=cell, seed=s, error=float(errors[s, i]))
        for s in range(SEEDS)
        for i, cell in enumerate(CELLS)
    ]
    found = factorial(runs, FACTORS)
    assert [one.m for one in plan().values()] == [len(found.effects) + len(found.together)] * 5
    assert [*plan()] == ["a", "b", "c: y", "c: z", "a:b"]
    size = {f"{one.factor}: {one.level}": one.comparison.judged for one in found.effects}
    d = size["c: z"]
    assert d is not None and d.mean == pytest.approx(float((errors @ contrast("c: z")).mean()))
    together = found.together[0].comparison.judged
    assert together is not None and together.mean == pytest.approx(float((errors @ contrast("a:b")).mean()))


def test_two_seeds_see_nothing() -> None:
    """An interval needs three."""
    assert {one.one for one in planned_effects(CELLS, 2)} == {None}
