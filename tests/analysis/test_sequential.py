"""Looking again and again: the p and the interval of all looks together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reprtune.analysis.sequential import interval, level, sequential_p

LOOKS = (3, 5, 7, 9)


def smallest_ps(n: int, looks: tuple[int, ...], seed: int) -> np.ndarray:
    """By brute force, with scipy's test at every look."""
    x = np.random.default_rng(seed).standard_normal((n, looks[-1]))
    return np.min([stats.ttest_1samp(x[:, :k], 0, axis=1).pvalue for k in looks], axis=0)


def test_p_is_the_share_of_null_series_that_show_as_much() -> None:
    """Against series of other draws, in which scipy tests at every look."""
    brute = smallest_ps(40_000, LOOKS, seed=7)
    for smallest in (0.002, 0.01, 0.05, 0.3):
        assert sequential_p([0.5, smallest, 0.9], LOOKS) == pytest.approx(
            np.mean(brute <= smallest), abs=0.006
        )


@pytest.mark.parametrize(("n_looks", "z"), [(2, 2.178), (3, 2.289), (5, 2.413)])
def test_level_tends_to_pococks(n_looks: int, z: float) -> None:
    """With many pairs a look the t test is a z test, and the level that of Pocock's published bounds."""
    looks = tuple(200 * (i + 1) for i in range(n_looks))
    assert level(looks) == pytest.approx(2 * stats.norm.sf(z), abs=0.0012)


def test_one_look_is_the_plain_test() -> None:
    """Nothing is corrected where it is looked once; the interval is the paired t interval."""
    d = [0.01, -0.02, 0.015, 0.03, 0.0]
    result = stats.ttest_1samp(d, 0)
    assert sequential_p([result.pvalue], (5,)) == result.pvalue
    assert interval(d, (5,)) == pytest.approx(tuple(result.confidence_interval(0.95)))


def test_p_in_the_tail_is_bounded() -> None:
    """Below what the simulation can tell, K looks count as K tests, and p still grows with p."""
    tail = [sequential_p([p], LOOKS) for p in (1e-9, 1e-6, 1e-4, 9e-4, 1.1e-3, 0.01)]
    assert tail[0] == pytest.approx(4e-9)
    assert tail == sorted(tail)


def test_false_alarms_and_coverage_over_all_looks() -> None:
    """Whoever stops at the first p below 5 % is wrong in 5 % of series, and the interval there covers in 95 %."""
    x = np.random.default_rng(11).standard_normal((800, LOOKS[-1]))
    wrong = missed = 0
    for row in x:
        ps: list[float] = []
        for n in LOOKS:
            ps.append(float(stats.ttest_1samp(row[:n], 0).pvalue))
            if sequential_p(ps, LOOKS) < 0.05 or n == LOOKS[-1]:
                ends = interval(list(row[:n]), LOOKS)
                wrong += sequential_p(ps, LOOKS) < 0.05
                missed += ends is not None and not ends[0] <= 0 <= ends[1]
                break
    assert stats.binomtest(wrong, 800, 0.05).pvalue > 0.001
    assert wrong == missed


@pytest.mark.parametrize("looks", [(), (2, 4), (3, 3), (5, 4)])
def test_looks_that_cannot_be(looks: tuple[int, ...]) -> None:
    """They increase, and the first is enough for an interval."""
    with pytest.raises(ValueError, match="looks must increase"):
        sequential_p([0.5], looks)
