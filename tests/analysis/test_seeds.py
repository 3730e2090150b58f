"""Comparisons that could not have seen what is looked for are found, and how many seeds could."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from reprtune.analysis.check import NOT_YET
from reprtune.analysis.paired import SeedValue, compared
from reprtune.analysis.seeds import check_arms, check_confirmation, check_luck, find_blind
from reprtune.record.schema import StudyRecord
from tests.confirmed import confirmed, make_run, searched
from tests.factories import comparison, make_study
from tests.flat import with_attempts


def arms_of(errors: dict[str, list[float]]) -> StudyRecord:
    """A finished comparison whose arms have these validation errors, by seed."""
    n = len(errors["standard"])
    record = comparison(control_seeds=tuple(range(n)))
    runs = [
        replace(t, values={"val_error": errors[str(t.arm)][t.seed], "train_gflops": 1.0})
        for t in record.controls
    ]
    return with_attempts(record, controls=runs)


def spread_of(n: int, sd: float) -> list[float]:
    """Differences of mean 0 whose sample standard deviation is `sd`."""
    d = np.linspace(-1, 1, n)
    return list(d / np.std(d, ddof=1) * sd)


def one(n: int, sd: float, error: float):
    ours = [SeedValue(seed=s, value=error + d) for s, d in enumerate(spread_of(n, sd))]
    theirs = [SeedValue(seed=s, value=error) for s in range(n)]
    return replace(compared("paper", "standard", ours, theirs, measured_on="test"), p_holm=1.0)


@pytest.mark.parametrize(("n", "sd", "m"), [(3, 0.02, 1), (5, 0.02, 1), (10, 0.03, 1), (5, 0.02, 3)])
def test_the_smallest_effect_and_the_seeds_that_would_do(n: int, sd: float, m: int) -> None:
    """As statsmodels solves the power of the paired t test, 80 % at 5 % over the number of comparisons, for the effect
    and for the number of seeds."""
    found = find_blind(one(n, sd, 0.2), 0.2, m)
    power = TTestPower()
    smallest = power.solve_power(nobs=n, alpha=0.05 / m, power=0.8) * sd
    wanted = math.ceil(power.solve_power(effect_size=0.02 / sd, alpha=0.05 / m, power=0.8))
    assert found is not None and found.smallest == pytest.approx(smallest, rel=1e-3)
    assert abs(found.wanted - wanted) <= 1  # its power counts the wrong side too
    assert found.times == pytest.approx(smallest / 0.02, rel=1e-3)


def test_a_comparison_that_could_have_seen_it_is_not_blind() -> None:
    """Ten seeds with a spread of 1 point of 20 % error see 1 point; and what has shown a difference was not blind."""
    assert find_blind(one(10, 0.01, 0.2), 0.2, 1) is None
    assert find_blind(replace(one(3, 0.05, 0.2), p_holm=0.01), 0.2, 1) is None
    assert find_blind(one(3, 0.05, 0.2), 0.2, 1) is not None


def test_two_seeds_have_no_interval() -> None:
    """Whatever they say."""
    check = check_arms(arms_of({"standard": [0.2, 0.3], "paper": [0.1, 0.2], "random-drop": [0.21, 0.29]}))
    assert check.fails and (check.numbers["n_few"], check.numbers["fewest"]) == (2, 2)


def test_arms_that_differ_clearly_have_seeds_enough() -> None:
    """Every seed says 5 points, give or take a tenth: three are enough to show it."""
    base = [0.2, 0.3, 0.25]
    arms = {"standard": base, "paper": [0.15, 0.251, 0.2], "random-drop": [0.25, 0.351, 0.3]}
    assert check_arms(arms_of(arms)).outcome == "ok"


def test_arms_whose_seeds_scatter_are_named_by_the_worst() -> None:
    """Paper beside standard scatters by 8 points of an error of 25 %."""
    base = [0.2, 0.3, 0.25]
    arms = {"standard": base, "paper": [0.28, 0.22, 0.25], "random-drop": [0.25, 0.351, 0.3]}
    check = check_arms(arms_of(arms))
    assert check.fails and (check.numbers["n_blind"], check.numbers["arm"]) == (1, "paper")
    assert check.numbers["error"] == pytest.approx(0.25) and check.numbers["pairs"] == 3


def test_unfinished_arms_are_not_judged() -> None:
    """Their seeds are still to come."""
    record = arms_of({"standard": [0.2, 0.3], "paper": [0.1, 0.2], "random-drop": [0.21, 0.29]})
    waiting = replace(record.controls[0], outcome="waiting", values=None, history=None)
    made = check_arms(with_attempts(record, controls=(waiting, *record.controls[1:])))
    assert made.outcome == "not applicable"


def test_the_confirmation_is_judged_on_test_errors() -> None:
    """Leaders beside controls, where the fresh seeds are trained."""
    runs = {"slot-1": [0.1, 0.3, 0.2], "standard": [0.2, 0.21, 0.2]}
    check = check_confirmation(confirmed(searched(0.2, 0.1), runs))
    assert check.fails and (check.numbers["arm"], check.numbers["pairs"]) == ("slot-1", 3)
    clear = {"slot-1": [0.1, 0.111, 0.101], "standard": [0.2, 0.21, 0.2]}
    assert check_confirmation(confirmed(searched(0.2, 0.1), clear)).outcome == "ok"
    open_ = check_confirmation(
        confirmed(searched(0.2, 0.1), {"slot-1": ["running"], "standard": ["waiting"]})
    )
    assert open_.outcome == "not applicable"


def test_one_seed_each_and_few_of_standard() -> None:
    """Three seeds of standard tell no gain from luck, five may; nor is it luck where each trial has several."""
    few = make_study(6, outcomes=("complete",), extras=())
    assert check_luck(few).fails and check_luck(few).numbers["n"] == 3
    five = make_study(6, outcomes=("complete",), extras=(), control_seeds=range(5))
    assert check_luck(five).outcome == "ok"
    assert check_luck(make_study(6, outcomes=("complete",), extras=(), seeds=3)).outcome == "ok"


def test_where_not_even_an_error_of_0_would_be_a_gain() -> None:
    """Five seeds that spread widely around a small error: the best of equal trials may lie further below by luck
    than there is error. By simulation of 20,000 such studies, in one of twenty it lies as far as is said."""
    record = searched(*[0.01 + 0.0001 * i for i in range(20)])
    errors = (0.005, 0.012, 0.02, 0.007, 0.016)
    cells = [(arm, seed) for arm in ("standard",) for seed in range(5)]
    standard = tuple(
        replace(make_run(record, i, arm, seed, errors[seed]), values={"val_error": errors[seed]})
        for i, (arm, seed) in enumerate(cells)
    )
    check = check_luck(with_attempts(record, controls=standard))
    assert check.fails and check.numbers["hopeless"]
    rng = np.random.default_rng(0)
    runs, trials = rng.standard_normal((20_000, 5)), rng.standard_normal((20_000, 20))
    gains = (runs.mean(1) - trials.min(1)) / runs.std(1, ddof=1)
    bound = np.std(errors, ddof=1) * np.quantile(gains, 0.95)
    assert check.numbers["bound"] == pytest.approx(bound, rel=0.05) and bound > np.mean(errors)
    clear = tuple(replace(t, values={"val_error": 0.3 + 0.1 * t.values["val_error"]}) for t in standard)  # type: ignore[index]
    assert check_luck(with_attempts(record, controls=clear)).outcome == "ok"


def test_luck_is_no_question_where_there_is_nothing_to_hold_against_or_fresh_seeds_are_done() -> None:
    """No arm, no complete trial, another objective, or a finished confirmation."""
    without = make_study(6, outcomes=("complete",), extras=(), controls=(), control_seeds=())
    cost = make_study(6, outcomes=("complete",), extras=(), objectives=("train_gflops",))
    none = make_study(6, outcomes=("diverged",), extras=())
    done = confirmed(searched(0.2, 0.1), {"slot-1": [0.1, 0.2, 0.1], "standard": [0.2, 0.3, 0.3]})
    assert {check_luck(r).outcome for r in (without, cost, none, done)} == {"not applicable"}


def test_arms_that_all_diverged_compare_nothing() -> None:
    """Chance error against chance error is no difference that any seeds could have seen."""
    arms = ("standard", "paper", "random-drop")
    record = comparison(diverged_controls=[(arm, seed) for arm in arms for seed in range(3)])
    check = check_arms(record)
    assert check.outcome == NOT_YET and check.reason == "No comparison has a spread to judge by."


def test_equal_errors_have_no_spread_by_which_a_gain_could_be_seen() -> None:
    """Arms that all ended alike with every seed say nothing of what these seeds can see."""
    same = arms_of(dict.fromkeys(("standard", "paper", "random-drop"), [0.05] * 3))
    assert check_arms(same).outcome == NOT_YET
    assert check_arms(
        arms_of({"standard": [0.05] * 3, "paper": [0.05, 0.06, 0.07], "random-drop": [0.05] * 3})
    ).fails
