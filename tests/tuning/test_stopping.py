from __future__ import annotations

import math
import random
import statistics

import pytest

from reprtune.spec.study import STOP_RULES, StopRule
from reprtune.tuning.stopping import Other, error_at, should_stop

MEDIAN = StopRule(rule="median", min_comparable=1)
CURVE = [(10, 0.5), (20, 0.3), (40, 0.1)]


def flat(error: float, cost: float | None = None) -> Other:
    """Another trial with the same error everywhere between steps 0 and 100."""
    return Other([(0, error), (100, error)], cost)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(9, None), (10, 0.5), (15, 0.4), (20, 0.3), (30, 0.2), (40, 0.1), (41, None)],
)
def test_others_are_interpolated_linearly_and_only_within_their_points(
    step: int, expected: float | None
) -> None:
    """Nothing is guessed before a trial's first comparable point or after its last one."""
    error = error_at(CURVE, step)
    assert error is None if expected is None else error == pytest.approx(expected)


def test_an_empty_curve_and_a_single_point_compare_only_where_they_are() -> None:
    """A trial without points is comparable nowhere, one with a single point at that step."""
    assert error_at([], 10) is None
    assert error_at([(10, 0.5)], 10) == 0.5
    assert error_at([(10, 0.5)], 11) is None


def test_an_error_that_is_not_finite_is_the_worst() -> None:
    """Another trial's divergence counts as an infinite error, at the point and on the way to it."""
    curve = [(10, 0.5), (20, math.nan), (30, 0.2)]
    assert [error_at(curve, s) for s in (10, 15, 20, 25, 30)] == [0.5, math.inf, math.inf, math.inf, 0.2]


@pytest.mark.parametrize(("error", "stopped"), [(0.29, False), (0.3, False), (0.31, True)])
def test_one_objective_stops_only_what_is_strictly_worse_than_the_median(error: float, stopped: bool) -> None:
    """Others 0.1, 0.3, 0.5: the median is 0.3, and a tie with it goes on."""
    assert should_stop(MEDIAN, 50, error, None, [flat(0.5), flat(0.1), flat(0.3)]) is stopped


def test_one_objective_with_an_even_number_takes_the_mean_of_the_middle_two() -> None:
    """Others 0.1 and 0.3: 0.2 goes on, anything above stops."""
    others = [flat(0.1), flat(0.3)]
    assert not should_stop(MEDIAN, 50, 0.2, None, others)
    assert should_stop(MEDIAN, 50, 0.2001, None, others)


def test_the_comparison_is_at_equal_step_not_at_equal_number_of_reports() -> None:
    """Others at 0.3 at step 20: 0.4 there is worse, 0.4 at step 15 (others 0.4) is not."""
    others = [Other(CURVE)] * 5
    assert should_stop(MEDIAN, 20, 0.35, None, others)
    assert not should_stop(MEDIAN, 15, 0.35, None, others)


def test_too_few_comparable_others_stop_nothing() -> None:
    """Trials that do not reach the step do not count towards `min_comparable`."""
    rule = StopRule(rule="median", min_comparable=3)
    ended = Other([(0, 0.1), (49, 0.1)])
    assert not should_stop(rule, 50, 0.9, None, [flat(0.1), flat(0.1), ended, ended])
    assert should_stop(rule, 50, 0.9, None, [flat(0.1), flat(0.1), flat(0.1)])


def test_the_rule_none_never_stops() -> None:
    """Whatever the others did; and every stop rule that a study may name is known here."""
    stopped = {
        rule: should_stop(StopRule(rule=rule, min_comparable=1), 50, 0.9, None, [flat(0.1)])
        for rule in STOP_RULES
    }
    assert stopped == {"median": True, "none": False}


def test_a_nan_of_the_trial_itself_is_refused() -> None:
    """Divergence has its own outcome; it must not come here."""
    with pytest.raises(ValueError, match="diverged"):
        should_stop(MEDIAN, 50, math.nan, None, [flat(0.1)])


def test_a_missing_cost_is_refused() -> None:
    """With a cost of its own, every comparable other needs one."""
    with pytest.raises(ValueError, match="cost"):
        should_stop(MEDIAN, 50, 0.5, 1.0, [flat(0.1)])


def test_a_trial_on_the_front_goes_on_though_most_errors_are_smaller() -> None:
    """Cheapest of six with the largest error: nothing dominates it, and six have no worst tenth."""
    others = [flat(0.1 + 0.01 * i, cost=10 - i) for i in range(5)]
    assert not should_stop(MEDIAN, 50, 0.5, 1.0, others)


def test_the_same_trial_without_its_low_cost_is_stopped() -> None:
    """Dearer and worse than all five others: it is dominated, and all five are better."""
    others = [flat(0.1 + 0.01 * i, cost=10 - i) for i in range(5)]
    assert should_stop(MEDIAN, 50, 0.5, 11.0, others)


@pytest.mark.parametrize(("n_others", "stopped"), [(8, False), (9, True), (20, True)])
def test_the_front_protects_nobody_in_the_worst_tenth(n_others: int, stopped: bool) -> None:
    """Cheapest and at chance level: with ten trials altogether the worst tenth has one, with nine none."""
    others = [flat(0.1 + 0.001 * i, cost=10 + i) for i in range(n_others)]
    assert should_stop(MEDIAN, 50, 0.9, 1.0, others) is stopped


def test_ties_keep_a_trial_out_of_the_worst_tenth() -> None:
    """Ten trials, two of them at chance level: neither is the worst one."""
    others = [*(flat(0.1 + 0.001 * i, cost=10 + i) for i in range(8)), flat(0.9, cost=5)]
    assert not should_stop(MEDIAN, 50, 0.9, 1.0, others)


def test_fronts_rank_before_errors() -> None:
    """On the second front of (0.2, 1), (0.1, 2) | self | (0.3, 4), (0.35, 5): exactly half are better."""
    others = [flat(0.2, 1), flat(0.1, 2), flat(0.3, 4), flat(0.35, 5)]
    assert not should_stop(MEDIAN, 50, 0.25, 3.0, others)
    assert should_stop(MEDIAN, 50, 0.25, 3.0, [*others[:3], flat(0.24, 3.5)])


def brute_force(error: float, cost: float, others: list[tuple[float, float]]) -> bool:
    """The rule in words, front by front: who is dominated by nobody leaves, again and again."""
    n = len(others)
    if sum(e >= error for e, _ in others) + 1 <= (n + 1) / 10:
        return True
    left = [(error, cost), *others]
    place: list[tuple[float, float]] = []
    while left:
        front = [p for p in left if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in left)]
        place += sorted(front, key=lambda p: p[0])
        if (error, cost) in front:
            if len(place) == len(front):
                return False
            return sum(1 for p in place if p not in front or p[0] < error) > n / 2
        left = [p for p in left if p not in front]
    raise AssertionError


def test_several_objectives_agree_with_the_rule_in_words() -> None:
    """500 random rungs against a brute-force peeling of fronts."""
    rng = random.Random(0)
    stopped = []
    for _ in range(500):
        error, cost = rng.random(), rng.random()
        others = [(rng.random(), rng.random()) for _ in range(rng.randint(1, 25))]
        result = should_stop(MEDIAN, 50, error, cost, [flat(e, c) for e, c in others])
        assert result == brute_force(error, cost, others)
        stopped.append(result)
    assert 0.2 < statistics.mean(stopped) < 0.6
