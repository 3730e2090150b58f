from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import pytest

from reprtune.spec.stop_rules import Median, NoStop, Percentile, StopRule, SuccessiveHalving
from reprtune.stopping.curves import Rival, Standing, error_at
from reprtune.stopping.rungs import should_stop

MEDIAN = Median(min_comparable=1)
CURVE = [(10, 0.5), (20, 0.3), (40, 0.1)]


def flat(error: float, cost: float | None = None) -> Rival:
    """Another trial with the same error everywhere between steps 0 and 100."""
    return Rival([(0, error), (100, error)], cost)


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
    assert should_stop(MEDIAN, Standing(50, error), [flat(0.5), flat(0.1), flat(0.3)]) is stopped


def test_one_objective_with_an_even_number_takes_the_mean_of_the_middle_two() -> None:
    """Others 0.1 and 0.3: 0.2 goes on, anything above stops."""
    others = [flat(0.1), flat(0.3)]
    assert not should_stop(MEDIAN, Standing(50, 0.2), others)
    assert should_stop(MEDIAN, Standing(50, 0.2001), others)


def test_the_comparison_is_at_equal_step_not_at_equal_number_of_reports() -> None:
    """Others at 0.3 at step 20: 0.4 there is worse, 0.4 at step 15 (others 0.4) is not."""
    others = [Rival(CURVE)] * 5
    assert should_stop(MEDIAN, Standing(20, 0.35), others)
    assert not should_stop(MEDIAN, Standing(15, 0.35), others)


def test_too_few_comparable_others_stop_nothing() -> None:
    """Trials that do not reach the step do not count towards `min_comparable`."""
    rule = Median(min_comparable=3)
    ended = Rival([(0, 0.1), (49, 0.1)])
    assert not should_stop(rule, Standing(50, 0.9), [flat(0.1), flat(0.1), ended, ended])
    assert should_stop(rule, Standing(50, 0.9), [flat(0.1), flat(0.1), flat(0.1)])


def test_the_rule_none_never_stops() -> None:
    """Whatever the others did; and every stop rule that a study may name is known here."""
    rules = [NoStop(), *(kind(min_comparable=1) for kind in StopRule.kinds if kind.stops)]
    for cost in (None, 1.0):
        stopped = {
            rule.kind: should_stop(rule, Standing(50, 0.9, cost, total=100), [flat(0.1, 0.5)] * 9)
            for rule in rules
        }
        assert stopped == {"median": True, "percentile": True, "successive-halving": True, "none": False}


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        (Median(min_comparable=1), 0.5),
        (Percentile(min_comparable=1), 0.3),
        (Percentile(percentile=75, min_comparable=1), 0.7),
        (Percentile(percentile=10, min_comparable=1), 0.18),
        (SuccessiveHalving(min_comparable=1), 0.1 + 0.8 / 3),
        (SuccessiveHalving(reduction_factor=2, min_comparable=1), 0.5),
        (SuccessiveHalving(reduction_factor=4, min_comparable=1), 0.3),
    ],
)
def test_one_objective_keeps_the_share_of_its_rule(rule: StopRule, limit: float) -> None:
    """Nine others from 0.1 to 0.9 in steps of 0.1: the quantile of share q is at 0.1 + 0.8 q."""
    others = [flat(i / 10) for i in (3, 1, 9, 7, 5, 2, 4, 8, 6)]
    assert not should_stop(rule, Standing(50, limit - 1e-6), others)
    assert should_stop(rule, Standing(50, limit + 1e-6), others)


def test_a_tie_with_the_quantile_goes_on() -> None:
    """Seven, ten or thirteen others and a third of them: the limit is the third, fourth or fifth error
    itself, though a third is no binary fraction."""
    rule = SuccessiveHalving(min_comparable=1)
    for n, place in ((7, 3), (10, 4), (13, 5), (31, 11)):
        others = [flat((i + 1) * 0.03) for i in range(n)]
        assert not should_stop(rule, Standing(50, place * 0.03), others)
        assert should_stop(rule, Standing(50, place * 0.03 + 1e-6), others)


def test_infinite_errors_of_others_are_sorted_last() -> None:
    """Between a number and infinity the quantile is infinite, and nothing finite is above it."""
    others = [flat(0.1), Rival([(0, math.inf), (100, math.inf)])]
    assert not should_stop(MEDIAN, Standing(50, 0.9), others)
    assert should_stop(Median(min_comparable=1), Standing(50, 0.9), [*others, flat(0.1)])


@pytest.mark.parametrize(
    ("factor", "rungs", "judged"),
    [
        (3, [25, 40, 55, 70, 85], [25, 40]),  # levels 33.3, 11.1, 3.7 ...: two lie before 25, one before 40
        (3, [75], [75]),
        (3, [5, 10, 12, 33, 34, 99], [5, 12, 34]),
        (2, [10, 20, 30, 40, 50, 60, 70], [10, 20, 30, 50]),  # 50, 25, 12.5, 6.25
        (2, [50, 99], [50]),
        (10, [9, 10, 11], [9, 10]),
    ],
)
def test_successive_halving_judges_at_the_first_rung_of_each_level(
    factor: int, rungs: list[int], judged: list[int]
) -> None:
    """Levels at 100/f, 100/f^2, ...; several levels between two rungs are judged once."""
    rule = SuccessiveHalving(reduction_factor=factor, min_comparable=1)
    found = [
        step
        for i, step in enumerate(rungs)
        if should_stop(rule, Standing(step, 0.9, None, earlier=rungs[:i], total=100), [flat(0.1)])
    ]
    assert found == judged


def test_successive_halving_without_a_total_judges_at_every_rung() -> None:
    """Without levels there is nothing to wait for; a step of 0 is before every level."""
    rule = SuccessiveHalving(min_comparable=1)
    assert should_stop(rule, Standing(85, 0.9, None, earlier=[25, 40]), [flat(0.1)])
    assert not should_stop(rule, Standing(85, 0.9, None, earlier=[25, 40], total=100), [flat(0.1)])
    assert not should_stop(rule, Standing(0, 0.9, None, total=100), [flat(0.1)])


@pytest.mark.parametrize("rule", [Median, Percentile])
def test_the_other_rules_judge_at_every_rung(rule: type[Median | Percentile]) -> None:
    """Where the trial stood before and how long it is do not matter to them."""
    stop = rule(min_comparable=1)
    assert should_stop(stop, Standing(85, 0.9, None, earlier=[25, 40, 84], total=100), [flat(0.1)])


def test_first_arrivals_go_on() -> None:
    """The worst of all goes on while fewer than `min_comparable` (5) others have been there."""
    for kind in StopRule.kinds:
        others = [flat(0.1)] * 4
        assert not should_stop(kind(), Standing(50, 0.9, None, total=100), others)
        assert should_stop(kind(), Standing(50, 0.9, None, total=100), [*others, flat(0.1)]) is kind.stops


def test_a_nan_of_the_trial_itself_is_refused() -> None:
    """Divergence has its own outcome; it must not come here."""
    with pytest.raises(ValueError, match="diverged"):
        should_stop(MEDIAN, Standing(50, math.nan), [flat(0.1)])


def test_a_missing_cost_is_refused() -> None:
    """With a cost of its own, every comparable other needs one."""
    with pytest.raises(ValueError, match="cost"):
        should_stop(MEDIAN, Standing(50, 0.5, 1.0), [flat(0.1)])


def test_a_trial_on_the_front_goes_on_though_most_errors_are_smaller() -> None:
    """Cheapest of six with the largest error: nothing dominates it, and six have no worst tenth."""
    others = [flat(0.1 + 0.01 * i, cost=10 - i) for i in range(5)]
    assert not should_stop(MEDIAN, Standing(50, 0.5, 1.0), others)


def test_the_same_trial_without_its_low_cost_is_stopped() -> None:
    """Dearer and worse than all five others: it is dominated, and all five are better."""
    others = [flat(0.1 + 0.01 * i, cost=10 - i) for i in range(5)]
    assert should_stop(MEDIAN, Standing(50, 0.5, 11.0), others)


@pytest.mark.parametrize(("n_others", "stopped"), [(8, False), (9, True), (20, True)])
def test_the_front_protects_nobody_in_the_worst_tenth(n_others: int, stopped: bool) -> None:
    """Cheapest and at chance level: with ten trials altogether the worst tenth has one, with nine none."""
    others = [flat(0.1 + 0.001 * i, cost=10 + i) for i in range(n_others)]
    assert should_stop(MEDIAN, Standing(50, 0.9, 1.0), others) is stopped


def test_ties_keep_a_trial_out_of_the_worst_tenth() -> None:
    """Ten trials, two of them at chance level: neither is the worst one."""
    others = [*(flat(0.1 + 0.001 * i, cost=10 + i) for i in range(8)), flat(0.9, cost=5)]
    assert not should_stop(MEDIAN, Standing(50, 0.9, 1.0), others)


def test_fronts_rank_before_errors() -> None:
    """On the second front of (0.2, 1), (0.1, 2) | self | (0.3, 4), (0.35, 5): exactly half are better."""
    others = [flat(0.2, 1), flat(0.1, 2), flat(0.3, 4), flat(0.35, 5)]
    assert not should_stop(MEDIAN, Standing(50, 0.25, 3.0), others)
    assert should_stop(MEDIAN, Standing(50, 0.25, 3.0), [*others[:3], flat(0.24, 3.5)])


def brute_force(share: Fraction, error: float, cost: float, others: list[tuple[float, float]]) -> bool:
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
            return sum(1 for p in place if p not in front or p[0] < error) > n * share
        left = [p for p in left if p not in front]
    raise AssertionError


@pytest.mark.parametrize(
    ("rule", "share"),
    [
        (MEDIAN, Fraction(1, 2)),
        (Percentile(min_comparable=1), Fraction(1, 4)),
        (Percentile(percentile=60, min_comparable=1), Fraction(3, 5)),
        (SuccessiveHalving(min_comparable=1), Fraction(1, 3)),
        (NoStop(), Fraction(1)),
    ],
)
def test_several_objectives_agree_with_the_rule_in_words(rule: StopRule, share: Fraction) -> None:
    """300 random rungs, half of them on a coarse grid, against a brute-force peeling of fronts."""
    rng = random.Random(0)
    stopped = []
    for grid in (None, 6) * 150:
        error, cost, *rest = (_draw(rng, grid) for _ in range(2 + 2 * rng.randint(1, 25)))
        others = list(zip(rest[::2], rest[1::2], strict=True))
        result = should_stop(rule, Standing(50, error, cost, total=100), [flat(e, c) for e, c in others])
        assert result == (rule.stops and brute_force(share, error, cost, others))
        stopped.append(result)
    assert not rule.stops or 0.2 < statistics.mean(stopped) < 0.8


def _draw(rng: random.Random, grid: int | None) -> float:
    return rng.random() if grid is None else rng.randint(1, grid) / grid
