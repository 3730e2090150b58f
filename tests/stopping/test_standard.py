"""The curve of plain training, and the errors of others told as differences to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.nonparametric.smoothers_lowess import lowess

from reprtune.spec.stop_rules import Median, Percentile, StopRule, SuccessiveHalving
from reprtune.stopping.curves import Beside, Rival, Standing
from reprtune.stopping.rungs import should_stop
from reprtune.stopping.standard import StandardCurve
from reprtune.stopping.stretches import Stretches

RATES: Stretches = ((0, "1"), (40, "0.1"), (70, "0.01"))


def level(step: float) -> float:
    """0.5, 0.4 after 40 steps, 0.35 after 70."""
    return 0.5 if step <= 40 else 0.4 if step <= 70 else 0.35


PLAIN = StandardCurve([[(s, level(s)) for s in range(1, 101)]], RATES)


def rival(*steps: int, better: float = 0.0, stopped: bool = False, rates: Stretches = RATES) -> Rival:
    return Rival([(s, level(s) - better) for s in steps], None, rates, stopped)


def test_it_is_the_mean_of_its_runs_smoothed_within_each_stretch() -> None:
    """Against statsmodels called stretch by stretch on the mean; across a milestone nothing is mixed."""
    rng = np.random.default_rng(0)
    steps = np.arange(1, 101)
    runs = [np.array([level(s) for s in steps]) + rng.uniform(-0.05, 0.05, 100) for _ in range(3)]
    found = StandardCurve([list(zip(steps.tolist(), run, strict=True)) for run in runs], RATES)
    mean = np.mean(runs, axis=0)
    for first, last in ((0, 40), (40, 70), (70, 100)):
        x, y = np.log(steps[first:last] - first), np.log(mean[first:last])
        expected = np.exp(lowess(y, x, frac=2 / 3, it=0, return_sorted=False))
        assert [found.at(int(s)) for s in steps[first:last]] == pytest.approx(expected.tolist())


def test_smoothing_takes_noise_away_and_leaves_a_power_law_as_it_is() -> None:
    """Of 0.9 s^-0.4 with noise the root mean square error falls to a third; without noise nothing changes."""
    truth = 0.9 * np.arange(1, 61) ** -0.4
    noisy = truth * np.exp(np.random.default_rng(1).normal(0, 0.1, 60))
    exact, smooth = (StandardCurve([[(s + 1, float(e)) for s, e in enumerate(es)]]) for es in (truth, noisy))
    assert [exact.at(s) for s in range(1, 61)] == pytest.approx(truth.tolist(), rel=1e-6)
    off = np.array([smooth.at(s) for s in range(1, 61)]) / truth - 1
    assert np.sqrt(np.mean(off**2)) < np.sqrt(np.mean((noisy / truth - 1) ** 2)) / 3


def test_few_evaluations_and_errors_of_nothing_are_left_as_they_are() -> None:
    """Five points are no curve to smooth; an error of 0 has no logarithm."""
    few = [(s, 0.1 * s) for s in range(1, 6)]
    assert [StandardCurve([few]).at(s) for s, _ in few] == pytest.approx([e for _, e in few])
    zero = [(s, 0.0 if s == 8 else 0.1) for s in range(1, 11)]
    assert [StandardCurve([zero]).at(s) for s, _ in zero] == [e for _, e in zero]


def test_it_is_known_between_evaluations_of_one_stretch_and_nowhere_else() -> None:
    """Evaluated every ten steps: between 30 and 40 on the line, between 40 and 50 nobody knows; nor before 10."""
    curve = StandardCurve([[(s, 1 / s) for s in range(10, 101, 10)]], RATES)
    assert curve.at(35) == pytest.approx((1 / 30 + 1 / 40) / 2)
    assert [curve.at(s) for s in (5, 45, 75, 101)] == [None] * 4


def test_only_steps_of_all_runs_count_and_only_numbers() -> None:
    """A run with other evaluations, or one that is not finite somewhere, takes those steps away."""
    curve = StandardCurve([[(1, 0.5), (2, 0.4), (3, 0.2)], [(1, 0.3), (3, 0.4)], [(1, math.inf), (3, 0.3)]])
    assert curve.at(1) is None and curve.at(2) is None and curve.at(3) == pytest.approx(0.3)


def test_the_difference_is_interpolated_not_the_error() -> None:
    """Known at 30 and 65, across a milestone, 0.01 and 0.03 better than plain training; at 44, 0.4 of the way on."""
    one = Rival([(30, 0.49), (65, 0.37)], None, RATES)
    found = Beside(44, RATES, PLAIN).error_of(one)
    assert found == pytest.approx(0.4 - 0.01 - 0.02 * 14 / 35)
    assert Beside(65, RATES, PLAIN).error_of(one) == 0.37, "its own point, exactly"
    assert Beside(66, RATES, PLAIN).error_of(one) is None


@pytest.mark.parametrize(("step", "error", "stopped"), [(40, 0.50, False), (40, 0.51, True), (45, 0.40, False), (45, 0.41, True)])  # fmt: skip
@pytest.mark.parametrize("rule", [Median(), Percentile(), SuccessiveHalving()])
def test_on_both_sides_of_a_milestone_equals_go_on_and_worse_ones_do_not(
    rule: StopRule, step: int, error: float, stopped: bool
) -> None:
    """Everyone has 0.5 up to 40 and 0.4 after; the others are known at 30 and 65 only."""
    others = [rival(30, 65)] * 6
    assert should_stop(rule, Standing(step, error, None, stretches=RATES, standard=PLAIN), others) is stopped
    assert not should_stop(rule, Standing(step, 0.9, None, stretches=RATES), others), (
        "without the curve nobody is comparable"
    )


def test_without_the_curve_a_line_reaches_as_far_as_both_rates_stay() -> None:
    """Between 45 and 65, at one rate; not from 40 to 65, nor where either trial has a milestone in between, or another
    factor there; a point at that very step needs no line, but the same factor."""
    beside = Beside(50, RATES, None)
    assert beside.error_of(rival(45, 65)) == pytest.approx(0.4)
    assert beside.error_of(rival(40, 65)) is None
    assert beside.error_of(rival(45, 71)) is None
    assert beside.error_of(rival(45, 70)) == pytest.approx(0.4)
    assert beside.error_of(rival(45, 65, rates=((0, "1"), (40, "0.1"), (60, "0.01")))) is None
    assert beside.error_of(rival(45, 65, rates=((0, "1"), (48, "0.1")))) is None
    assert beside.error_of(rival(45, 65, rates=((0, "1"),))) is None
    assert beside.error_of(rival(50, rates=((0, "1"), (48, "0.1")))) == pytest.approx(0.4)
    assert beside.error_of(rival(50, rates=((0, "1"),))) is None


def test_the_curve_counts_only_where_all_have_its_rates() -> None:
    """A trial, or a rival, whose rate begins anew at 30 is compared without it."""
    anew: Stretches = ((0, "1"), (40, "0.1"), (60, "1"))
    across = rival(30, 65)
    assert Beside(50, RATES, PLAIN).error_of(across) == pytest.approx(0.4)
    assert Beside(50, anew, PLAIN).error_of(across) is None
    assert Beside(50, RATES, PLAIN).error_of(rival(30, 65, rates=anew)) is None
    assert Beside(50, anew, PLAIN).error_of(rival(45, 55, rates=anew)) == pytest.approx(0.4)


def test_where_the_curve_is_not_known_a_rival_is_compared_without_it() -> None:
    """Known from 20 on: at 15 a line between 10 and 20 says it."""
    late = StandardCurve([[(s, level(s)) for s in range(20, 101)]], RATES)
    assert Beside(15, RATES, late).error_of(rival(10, 20, better=0.1)) == pytest.approx(0.4)
    assert Beside(45, RATES, late).error_of(rival(10, 65)) is None


def test_a_stopped_rival_keeps_its_last_difference_for_rules_that_count_it() -> None:
    """Stopped at 30, 0.2 worse than plain training; at 80 it would be that much worse again. One that still runs has
    not been there, and without the curve nobody knows."""
    one = rival(20, 30, better=-0.2, stopped=True)
    counting = Beside(80, RATES, PLAIN, counts_stopped=True)
    assert counting.error_of(one) == pytest.approx(0.55)
    assert counting.error_of(rival(20, 30, better=-0.2)) is None
    assert Beside(80, RATES, PLAIN).error_of(one) is None
    assert Beside(80, RATES, None, counts_stopped=True).error_of(one) is None
    assert counting.error_of(rival(90, stopped=True)) is None, "nothing is told of before its first point"


@pytest.mark.parametrize(("rule", "stopped"), [(Median(), False), (Percentile(percentile=50), False), (SuccessiveHalving(reduction_factor=2), True)])  # fmt: skip
def test_survivors_alone_are_not_the_measure_of_a_median(rule: StopRule, stopped: bool) -> None:
    """Six of eleven were stopped at 30, 0.1 worse: at 80 a trial between the two halves is in the better half of all,
    and the worst of those that have come so far."""
    others = [rival(20, 100, better=0.1)] * 5 + [rival(20, 30, better=-0.1, stopped=True)] * 6
    assert (
        should_stop(rule, Standing(80, level(80), None, stretches=RATES, standard=PLAIN), others) is stopped
    )


def test_a_rival_that_is_not_finite_is_the_worst_also_in_differences() -> None:
    """On the way to it as well."""
    bad = Rival([(30, 0.5), (65, math.nan)], None, RATES)
    assert Beside(50, RATES, PLAIN).error_of(bad) == math.inf
