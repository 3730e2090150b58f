"""The confirmation's statistics, against scipy and statsmodels called directly, and by hand."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reprtune.analysis.confirmation import Confirmation, confirmation
from reprtune.analysis.paired import Comparison, holm
from reprtune.analysis.tables import (
    COMPARISON_COLUMNS,
    CONFIRMATION_COLUMNS,
    comparison_rows,
    confirmation_rows,
    trial_rows,
)
from tests.confirmed import confirmed, searched
from tests.flat import with_attempts

CONTROLS = ("standard", "paper", "random-drop")


def normal(mean: float, n: int, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [round(rng.gauss(mean, 0.004), 4) for _ in range(n)]


def several(n: int) -> dict[str, list[float]]:
    """Test errors of two leaders and the three controls of the synthetic study."""
    means = {"slot-1": 0.05, "slot-0": 0.055, "standard": 0.06, "paper": 0.057, "random-drop": 0.0553}
    return {arm: normal(mean, n, i) for i, (arm, mean) in enumerate(means.items())}


def found(errors: dict[str, list[float]]) -> Confirmation:
    result = confirmation(confirmed(searched(0.2, 0.1), errors))
    assert result is not None
    return result


def pair(result: Confirmation, arm: str, control: str) -> Comparison:
    return next(c for c in result.comparisons if (c.arm, c.control) == (arm, control))


def test_a_study_that_is_not_confirmed_has_none() -> None:
    """None, not an empty table; the tables have no rows."""
    record = searched(0.1)
    assert confirmation(record) is None
    assert confirmation_rows(record) == [] and comparison_rows(record) == []


@pytest.mark.parametrize("n", [3, 5, 12])
def test_differences_are_paired_t_tests(n: int) -> None:
    """Mean, interval and p equal scipy's paired t test; every leader meets every control."""
    errors = several(n)
    result = found(errors)
    assert [(c.arm, c.control) for c in result.comparisons] == list(
        itertools.product(("slot-1", "slot-0"), CONTROLS)
    )
    for c in result.comparisons:
        test = stats.ttest_rel(errors[c.arm], errors[c.control])
        low, high = test.confidence_interval(0.95)
        assert c.difference is not None and c.difference.n == n
        assert (c.difference.low, c.difference.high) == pytest.approx((low, high))
        assert c.p == pytest.approx(test.pvalue)
        d = np.subtract(errors[c.arm], errors[c.control])
        assert c.effect == pytest.approx(d.mean() / d.std(ddof=1))
        assert c.better == pytest.approx(np.mean(d < 0) + np.mean(d == 0) / 2)


def test_p_is_corrected_over_leaders_and_controls_together() -> None:
    """Holm's rule as statsmodels has it, over all six comparisons."""
    result = found(several(6))
    ps = [c.p for c in result.comparisons]
    assert [c.p_holm for c in result.comparisons] == pytest.approx(multipletests(ps, method="holm")[1])


@pytest.mark.parametrize("seed", range(20))
def test_holm_agrees_with_statsmodels(seed: int) -> None:
    """Also with ties and with p near 1."""
    rng = random.Random(seed)
    ps = [rng.choice([0.001, 0.01, 0.5, 1.0, rng.random()]) for _ in range(rng.randint(1, 9))]
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1])


def test_holm_counts_what_is_not_known_yet() -> None:
    """A comparison without a p is one more in the family, as one that fails would be."""
    assert holm([0.01, None, 0.02]) == [pytest.approx(0.03), None, pytest.approx(0.04)]
    assert holm([None, None]) == [None, None] and holm([]) == []


def test_bootstrap_and_wilcoxon_only_where_they_hold() -> None:
    """Wilcoxon from 10 pairs, BCa from 20; both as scipy computes them."""
    for n, has_wilcoxon, has_bca in (
        (9, False, False),
        (10, True, False),
        (19, True, False),
        (20, True, True),
    ):
        errors = several(n)
        c = pair(found(errors), "slot-1", "paper")
        d = np.subtract(errors["slot-1"], errors["paper"])
        assert (c.wilcoxon is not None, c.bca_low is not None) == (has_wilcoxon, has_bca)
        if has_wilcoxon:
            assert c.wilcoxon == pytest.approx(stats.wilcoxon(d).pvalue)
        if has_bca:
            bca = stats.bootstrap(
                (d,), np.mean, method="BCa", rng=np.random.default_rng(7)
            ).confidence_interval
            width = bca.high - bca.low
            assert (c.bca_low, c.bca_high) == pytest.approx((bca.low, bca.high), abs=0.05 * width)


def test_a_diverged_run_is_an_outcome() -> None:
    """Counted; left out of the first analysis, and with chance error (9/10) in the second."""
    result = found({"slot-1": [0.1, "diverged", 0.2, 0.1], "standard": [0.2, 0.2, 0.2, 0.25]})  # type: ignore[list-item]
    c, arm = pair(result, "slot-1", "standard"), result.arms[0]
    assert (arm.n, arm.n_diverged, arm.n_failed, arm.n_open) == (3, 1, 0, 0)
    assert c.difference is not None and c.difference.n == 3
    assert c.difference.mean == pytest.approx((-0.1 + 0 - 0.15) / 3)
    assert c.with_chance is not None and c.with_chance.n == 4
    assert c.with_chance.mean == pytest.approx((-0.1 + 0.7 + 0 - 0.15) / 4)
    assert pair(found(several(3)), "slot-1", "paper").with_chance is None


def test_arms_by_hand() -> None:
    """Means, sd, the test part's own standard error, and what the selection flattered by."""
    result = found({"slot-1": [0.10, 0.12, 0.14], "standard": [0.2, 0.2, 0.2]})
    leader, standard = result.arms
    assert (leader.slot, leader.n, standard.slot) == (1, 3, None)
    assert leader.test_mean == pytest.approx(0.12) and leader.test_sd == pytest.approx(0.02)
    assert leader.test_se == pytest.approx(math.sqrt(0.12 * 0.88 / 361))
    assert leader.val_mean == pytest.approx(0.13) and leader.search_val == 0.1
    assert leader.optimism == pytest.approx(0.03) and standard.optimism is None
    assert standard.val_sd == pytest.approx(statistics.stdev([0.21] * 3))
    assert (result.n_test, result.seeds, result.runs, result.open) == (361, (3, 4, 5), 6, 0)


def test_leaders_stand_in_the_order_of_the_search() -> None:
    """Not of their test errors: the first was chosen before any was known."""
    record = searched(0.2, 0.1, 0.3)
    result = confirmation(
        confirmed(record, {arm: [0.1] * 3 for arm in ("paper", "slot-2", "slot-0", "standard", "slot-1")})
    )
    assert result is not None and result.leader is not None
    assert [a.arm for a in result.arms] == ["slot-1", "slot-0", "slot-2", "standard", "paper"]
    assert result.leader.slot == 1


def test_pairs_are_made_by_seed() -> None:
    """A seed that one arm has not finished is in no difference; the interval needs three."""
    result = found({"slot-1": ["waiting", 0.1, 0.2], "standard": [0.2, "running", 0.3]})  # type: ignore[list-item]
    c = pair(result, "slot-1", "standard")
    assert c.difference is not None and [(p.seed, round(p.value, 9)) for p in c.difference.pairs] == [
        (5, -0.1)
    ]
    assert c.p is None and c.p_holm is None and c.difference.low is None
    assert result.open == 2 and result.arms[0].n_open == 1


def test_without_a_search_controls_meet_standard() -> None:
    """Every other arm minus standard."""
    result = found({arm: normal(0.1, 4, i) for i, arm in enumerate(CONTROLS)})
    assert [(c.arm, c.control) for c in result.comparisons] == [
        ("paper", "standard"),
        ("random-drop", "standard"),
    ]
    assert result.leader is None
    assert found({"paper": [0.1] * 3}).comparisons == ()


def test_an_attempt_that_was_lost_counts_once() -> None:
    """Its complete retry stands for the slot."""
    record = confirmed(searched(0.2, 0.1), several(4))
    lost = replace(record.confirmation[0], number=900, outcome="lost", result={}, values=None)
    assert confirmation(with_attempts(record, confirmation=(lost, *record.confirmation))) == confirmation(
        record
    )


def test_tables_hold_every_attempt_and_comparison() -> None:
    """With exactly the columns they name."""
    record = confirmed(searched(0.2, 0.1), several(4))
    rows, pairs = confirmation_rows(record), comparison_rows(record)
    assert all(tuple(row) == CONFIRMATION_COLUMNS for row in rows) and len(rows) == 20
    assert [row["test_error"] for row in rows[:4]] == several(4)["slot-1"]
    assert all(tuple(row) == COMPARISON_COLUMNS for row in pairs) and len(pairs) == 6
    assert {row["test_error"] for row in trial_rows(record) if row["arm"] is None} == {None}


def test_a_tie_is_half_an_improvement() -> None:
    """Lower, equal, equal, higher: one and two halves of four; from the first seed on, where there is no p."""
    four = pair(found({"slot-1": [0.1, 0.2, 0.2, 0.3], "standard": [0.2] * 4}), "slot-1", "standard")
    assert four.better == 0.5
    one = pair(found({"slot-1": [0.2], "standard": [0.2]}), "slot-1", "standard")
    assert one.better == 0.5 and one.p is None
    lower = pair(found({"slot-1": [0.1, 0.2, 0.2], "standard": [0.2] * 3}), "slot-1", "standard")
    assert lower.better == pytest.approx(2 / 3)
