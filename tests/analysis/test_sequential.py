"""Sequential p, repeated interval and equivalence against brute force, scipy, statsmodels and published constants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from benchmarks.truth.sequential import LOOKS as SEQUENTIAL
from benchmarks.truth.sequential import counted
from reprtune.analysis.equivalence import equivalence
from reprtune.analysis.paired import holm
from reprtune.analysis.sequential import nominal_level, sequential_interval, sequential_p

LOOKS = (3, 5, 7, 9, 11)


def test_one_look_is_the_ordinary_paired_t_test() -> None:
    """With one planned look nothing is paid: p and interval are scipy's."""
    d = np.random.default_rng(1).normal(0.4, 1, 6)
    test = stats.ttest_1samp(d, 0)
    assert sequential_p(d, (6,)) == pytest.approx(test.pvalue)
    assert sequential_interval(d, (6,)) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_p_is_the_share_of_studies_without_effect_that_look_as_good() -> None:
    """Brute force: seed by seed draws, scipy's p at every look, the smallest kept."""
    draws = np.random.default_rng(2).normal(0, 7, (20_000, 11))
    ps = [np.asarray(stats.ttest_1samp(draws[:, :n], 0, axis=1).pvalue) for n in LOOKS]
    least = np.min(np.stack(ps), axis=0)
    d = [0.2, 1.4, 0.9, 0.1, 1.6, 0.7, -0.2]
    seen = min(stats.ttest_1samp(d[:n], 0).pvalue for n in (3, 5, 7))
    share = np.mean(least <= seen)
    assert 0.01 < share < 0.5
    assert sequential_p(d, LOOKS) == pytest.approx(share, abs=4 * np.sqrt(share / 20_000))
    assert np.mean(least <= nominal_level(LOOKS)) == pytest.approx(0.05, abs=0.006)


@pytest.mark.parametrize(("k", "constant"), [(2, 2.178), (3, 2.289), (5, 2.413)])
def test_nominal_level_approaches_pococks_constants(k: int, constant: float) -> None:
    """For large, equal groups the nominal level is that of Pocock's published constant."""
    level = nominal_level([2000 * i for i in range(1, k + 1)])
    assert stats.norm.isf(level / 2) == pytest.approx(constant, abs=0.02)


def test_tiny_p_stays_above_zero_between_one_look_and_bonferroni() -> None:
    """Where no simulated path reaches, p lies between the least p and K times it, and falls with it."""
    shape = np.array([-1.0, 0, 1, 0.5, -0.5])
    ps = [sequential_p(shape * sd + 1, LOOKS) or 0.0 for sd in (1e-2, 1e-3, 1e-4)]
    least = [
        min(stats.ttest_1samp(shape[:n] * sd + 1, 0).pvalue for n in (3, 5)) for sd in (1e-2, 1e-3, 1e-4)
    ]
    assert all(0 < a <= p <= 5 * a * (1 + 1e-9) for p, a in zip(ps, least, strict=True))
    assert ps == sorted(ps, reverse=True)
    assert len(set(ps)) == 3


@pytest.mark.parametrize(
    ("n", "looks", "said"),
    [(3, (2, 3), "begin at 3"), (3, (), "begin at 3"), (3, (3, 3), "increase"), (4, (3, 5), "as many as")],
)
def test_refusals(n: int, looks: tuple[int, ...], said: str) -> None:
    """Looks that do not increase, begin too early or are not where the data are, are refused by name."""
    with pytest.raises(ValueError, match=said):
        sequential_p([0.1, 0.2, 0.4, 0.3][:n], looks)


def test_without_spread_there_is_nothing_to_judge_by() -> None:
    """Equal differences: p is 1 where they are 0 and unknown otherwise; no interval."""
    assert sequential_p([0, 0, 0], (3, 5)) == 1
    assert sequential_p([0.1] * 3, (3, 5)) is None
    assert sequential_interval([0.1] * 3, (3, 5)) is None


@pytest.mark.parametrize("margin", [0.1, 0.5, 2.0])
def test_equivalence_is_statsmodels_tost(margin: float) -> None:
    """The larger of two one-sided p is that of statsmodels, and decides."""
    d = np.random.default_rng(4).normal(0.1, 0.5, 8)
    found, expected = equivalence(d, margin), ttost_paired(d, np.zeros(8), -margin, margin)[0]
    assert found.p == pytest.approx(expected)
    assert found.is_shown == (expected < 0.05)


@pytest.mark.parametrize(("d", "margin", "said"), [([1, 2, 3], 0, "margin"), ([1, 2], 1, "3 or more")])
def test_equivalence_refuses(d: list[float], margin: float, said: str) -> None:
    """A margin of nothing and too few pairs are refused by name."""
    with pytest.raises(ValueError, match=said):
        equivalence(d, margin)


def test_holm_is_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holm's correction of random families is that of statsmodels."""
    # statsmodels collects garbage in every call, which takes a second in a large process.
    monkeypatch.setattr("gc.collect", int)
    for p in np.random.default_rng(5).uniform(0, 0.1, (20, 7)):
        assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1])


def test_seeds_added_where_open_say_nothing_too_often() -> None:
    """Five equal arms that share a control: the family is wrong in at most 5 %, up to chance, and stops are looks."""
    found = counted(5, 0.0, SEQUENTIAL, 60)
    assert stats.binomtest(found.said, 60, 0.05, alternative="greater").pvalue > 0.01
    assert set(found.used) <= set(SEQUENTIAL)


def test_large_effects_need_fewer_seeds() -> None:
    """Two standard deviations are shown for every arm, with fewer seeds than the fixed design has."""
    found = counted(5, 2.0, SEQUENTIAL, 20)
    assert np.mean(found.shown) > 0.95
    assert np.mean(found.used) < 8
