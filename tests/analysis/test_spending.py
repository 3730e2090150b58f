"""What a search spends is held against what it may, and what is not known yet is estimated carefully."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from reprtune.analysis.spending import check_budget, spendings
from reprtune.record.schema import StudyRecord
from tests.factories import make_study, make_trial
from tests.flat import with_attempts

T_95_3 = 2.353363  # Student's t, 3 degrees of freedom, from a table


def spent_by(*seconds: float, waiting: int, cut: int = 0, **limits: float) -> StudyRecord:
    """Finished slots that took so long each, then others."""
    outcomes = (*["complete"] * len(seconds), *["waiting"] * waiting, *["over-budget"] * cut)
    record = make_study(len(outcomes), outcomes=outcomes, extras=(), **limits)
    results = [{"seconds_spent": s, "gflops_spent": 2 * s} for s in seconds] + [{}] * (waiting + cut)
    trials = [replace(t, result=r) for t, r in zip(record.trials, results, strict=True)]
    return replace(with_attempts(record, trials=trials), spent=(sum(seconds), 2 * sum(seconds)))


def test_what_all_slots_will_take_by_hand() -> None:
    """Four took 8, 10, 10 and 12 seconds, four wait: about 80, and surely more than the lower end of Student's."""
    (found,) = spendings(spent_by(8, 10, 10, 12, waiting=4, max_seconds=100.0))
    sd = math.sqrt(8 / 3)
    assert found.expected == pytest.approx(80)
    assert found.low == pytest.approx(80 - T_95_3 * sd * math.sqrt(4 + 16 / 4))
    assert not found.is_short


@pytest.mark.parametrize(("limit", "outcome"), [(60.0, "warning"), (75.0, "ok"), (200.0, "ok")])
def test_a_budget_that_surely_does_not_suffice(limit: float, outcome: str) -> None:
    """The lower end of that estimate is 69 seconds: 75 may still do."""
    made = check_budget(spent_by(8, 10, 10, 12, waiting=4, max_seconds=limit))
    assert made.outcome == outcome and made.numbers["expected"] == pytest.approx(80)


def test_of_two_limits_the_one_that_is_short_is_named() -> None:
    """120 GFLOPs of the 160 that all will cost, and seconds enough."""
    made = check_budget(spent_by(8, 10, 10, 12, waiting=4, max_seconds=1000.0, max_gflops=120.0))
    assert made.fails and made.numbers["field"] == "max_gflops"


def test_slots_that_were_cut_off() -> None:
    """They are used up, so that nothing else would show that the search was smaller than planned."""
    made = check_budget(spent_by(10, 10, 10, 11, waiting=0, cut=4, max_seconds=40.0))
    assert made.fails and made.numbers["n_cut"] == 4 and made.numbers["expected"] == pytest.approx(82)


def test_a_finished_search_within_its_budget() -> None:
    """Nothing is left, so it has spent what it will."""
    made = check_budget(spent_by(10, 10, 10, 11, waiting=0, max_seconds=42.0))
    assert made.outcome == "ok" and made.numbers["expected"] == pytest.approx(41)


def test_without_a_limit_or_too_early_it_does_not_apply() -> None:
    """Two finished slots tell no spread worth the name."""
    assert check_budget(make_study(4, extras=())).outcome == "not applicable"
    made = check_budget(spent_by(10, 10, waiting=4, max_seconds=21.0))
    assert made.outcome == "not applicable" and "Too few slots" in made.reason


def test_an_attempt_that_was_interrupted_counts_for_its_slot() -> None:
    """What it has spent is what that slot takes."""
    record = spent_by(10, 10, 10, 10, waiting=4, max_seconds=100.0)
    lost = replace(make_trial(record.spec, 99, "interrupted", slot=0), result={"seconds_spent": 4.0})
    (found,) = spendings(replace(with_attempts(record, trials=(*record.trials, lost)), spent=(44.0, 0.0)))
    assert found.expected == pytest.approx(44 + 4 * 11)


def test_a_running_slot_counts_by_what_is_left_of_it() -> None:
    """Half of one of two is spent already."""
    record = spent_by(10, 10, 10, 10, waiting=2, max_seconds=100.0)
    running = replace(
        make_trial(record.spec, 4, "running"), progress={"step": 50, "total": 100, "seed": 0}, result={}
    )
    trials = [running if t.slot == 4 else t for t in record.trials]
    (found,) = spendings(replace(with_attempts(record, trials=trials), spent=(45.0, 0.0)))
    assert found.expected == pytest.approx(45 + 1.5 * 10)
