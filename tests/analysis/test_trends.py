"""Directions, levels and smooth trends: against scipy and sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reprtune.analysis import trends as module
from reprtune.analysis.directions import directions
from reprtune.analysis.trends import Trend, trends
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Choice, FloatRange, IntRange
from tests.factories import make_study, make_trial
from tests.flat import with_attempts

SPACE = {
    "training.lr": FloatRange(low=0.001, high=1.0, log=True),
    "method.cycles": IntRange(low=1, high=4),
    "method.criterion": Choice(options=("l2", "random", "ortho")),
}


def study(rows: list[tuple[dict, float]]) -> StudyRecord:
    """Complete trials with these parameters and errors."""
    record = make_study(0, extras=(), control_seeds=(), space=SPACE, objectives=("val_error",))
    template = make_trial(record.spec, 0, params={"cycles": 1})
    trials = [
        replace(template, number=i, slot=i, params=params, values={"val_error": error})
        for i, (params, error) in enumerate(rows)
    ]
    return with_attempts(record, trials=tuple(trials))


def found(record: StudyRecord, param: str) -> Trend:
    return next(t for t in trends(record) if t.param == param)


def drawn(n: int, error, seed: int = 0) -> StudyRecord:
    """n random draws with `error(params, noise)`."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        params = {
            "lr": float(10 ** rng.uniform(-3, 0)),
            "cycles": int(rng.integers(1, 5)),
            "criterion": str(rng.choice(["l2", "random", "ortho"])),
        }
        rows.append((params, float(error(params, rng.normal()))))
    return study(rows)


def test_a_straight_line_has_its_slope_and_full_correlation():
    """Error 0.1 + 0.02 per decade over three decades: change +0.06, and the curve is the line."""
    record = drawn(40, lambda p, _: 0.1 + 0.02 * math.log10(p["lr"]))
    trend = found(record, "lr")
    assert trend.rank.plain == pytest.approx(1)
    assert trend.rank.change == pytest.approx(0.06)
    assert all(c.y == pytest.approx(0.1 + 0.02 * math.log10(c.x)) for c in trend.curve)
    assert all(c.low - 1e-9 <= c.y <= c.high + 1e-9 for c in trend.curve)
    assert trend.levels == ()


def test_each_ordered_parameter_has_its_direction():
    """That of `directions` on all complete trials; a choice has none."""
    record = drawn(50, lambda p, e: 0.1 * p["cycles"] + 0.1 * e)
    trials, params = record.complete(), record.spec.params
    expected = directions([t.params for t in trials], [t.values["val_error"] for t in trials], params)
    assert found(record, "cycles").rank == expected["cycles"]
    assert found(record, "lr").rank == expected["lr"]
    choice = found(record, "criterion")
    assert choice.rank is None and choice.no_rank is None


def test_levels_by_hand():
    """l2 at 1, 2, 3 and random at 5, 5, 8: means 2 and 6, overall 4, so -2 and +2; t intervals of three."""
    errors = {"l2": (0.01, 0.02, 0.03), "random": (0.05, 0.05, 0.08)}
    rows = [({"lr": 0.1, "cycles": 1, "criterion": c}, e) for c, es in errors.items() for e in es]
    levels = found(study(rows), "criterion").levels
    assert [(v.value, v.n) for v in levels] == [("l2", 3), ("random", 3)]
    assert [v.to_all for v in levels] == pytest.approx([-0.02, 0.02])
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (levels[0].low, levels[0].mean, levels[0].high) == pytest.approx((0.02 - half, 0.02, 0.02 + half))
    welch = stats.ttest_ind(errors["l2"], errors["random"], equal_var=False).confidence_interval()
    assert (levels[0].to_all_low, levels[0].to_all_high) == pytest.approx((welch.low / 2, welch.high / 2))


def test_few_trials_have_no_interval_and_no_trend():
    """Two of a level give a mean only; below 10 and one for each term of the others no direction, below 20 no
    curve, said in words."""
    record = drawn(14, lambda _, e: e)
    trend = found(record, "lr")
    assert trend.rank is None and trend.curve == ()
    assert "needs 15 complete trials, but there are 14" in trend.no_rank and "needs 20" in trend.reason
    trend = found(drawn(19, lambda _, e: e), "lr")
    assert trend.rank is not None and trend.curve == () and "needs 20" in trend.reason
    rows = [({"lr": 0.1, "cycles": 1, "criterion": "l2"}, e) for e in (0.1, 0.2)]
    level = found(study(rows), "criterion").levels[0]
    assert level.low is None and level.to_all_low is None and level.to_all == 0


def test_a_parameter_with_one_value_and_a_constant_objective_have_no_trend():
    """Nothing is divided by nothing, and it is said."""
    rows = [({"lr": 0.1, "cycles": 1 + i % 4, "criterion": "l2"}, 0.2) for i in range(30)]
    record = study(rows)
    assert found(record, "cycles").rank is None
    assert "one value only" in found(record, "lr").reason
    assert [v.low for v in found(record, "cycles").levels] == pytest.approx([0.2] * 4)
    assert all(v.to_all_low is None for v in found(record, "cycles").levels)


def test_only_complete_trials_enter():
    """Stopped trials change nothing."""
    record = make_study(30, outcomes=("complete", "stopped"), extras=())
    without = with_attempts(record, trials=tuple(record.complete()))
    assert trends(record) == trends(without)
    assert {t.n for t in trends(record)} == {15}


def test_large_studies_are_thinned_the_same_way(monkeypatch):
    """Above the limit a random part is used, its size stated; levels are of all."""
    monkeypatch.setattr(module, "MAX_TRIALS", 25)
    record = drawn(33, lambda _, e: e, seed=5)
    module._trends.cache_clear()
    first = found(record, "cycles")
    module._trends.cache_clear()
    assert first == found(record, "cycles")
    assert (first.n, first.n_used) == (33, 25)
    assert sum(v.n for v in first.levels) == 33


def test_trials_that_lack_a_parameter_are_left_out_of_its_trend():
    """A conditional parameter's trend is of the trials that drew it."""
    rows = [({"lr": 0.1, "criterion": "l2"}, 0.1 * i) for i in range(5)]
    rows += [({"lr": 0.2, "criterion": "l2", "cycles": 2}, 0.3) for _ in range(4)]
    assert found(study(rows), "cycles").n == 4
