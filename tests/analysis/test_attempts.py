"""Attempts, slots, fronts and tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reprtune.analysis.attempts import deciding, seconds_alone, seconds_spent, sub_phases
from reprtune.analysis.front import front, front_ranks
from reprtune.analysis.tables import CONTROL_COLUMNS, control_rows, trial_columns, trial_rows
from reprtune.record.measures import at_the_end, last_measure
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best
from tests.factories import RESNET, make_spec, make_study, make_trial
from tests.flat import with_attempts

BOTH = ("val_error", "train_gflops")


def test_the_attempt_that_used_a_slot_up_decides_it():
    """A complete first attempt beats a later duplicate; otherwise the newest attempt counts."""
    spec = make_spec()
    trials = [
        make_trial(spec, 0, "complete", slot=0),
        make_trial(spec, 3, "duplicate", slot=0),
        make_trial(spec, 1, "lost", slot=1),
        make_trial(spec, 2, "waiting", slot=1),
    ]
    assert {t.slot: t.number for t in deciding(trials)} == {0: 0, 1: 2}


def test_only_complete_trials_have_an_end():
    """A stopped trial's last error is not an error at the end."""
    spec = make_spec()
    for outcome in Outcome:
        trial = make_trial(spec, 0, outcome)
        assert (at_the_end(trial, "val_error") is not None) is (outcome == "complete")
    stopped = make_trial(spec, 0, "stopped")
    assert last_measure(stopped, "val_error") == stopped.history.points[-1].val_error


def test_what_is_not_an_objective_comes_from_the_curve():
    """With one objective the cost is still known."""
    trial = make_trial(make_spec(("val_error",)), 0)
    assert set(trial.values) == {"val_error"}
    assert last_measure(trial, "train_gflops") == trial.history.points[-1].gflops


def test_a_number_that_is_not_finite_is_no_measure():
    """Infinity and not-a-number never reach a table."""
    trial = replace(
        make_trial(make_spec(), 0), values={"val_error": float("nan"), "train_gflops": float("inf")}
    )
    assert last_measure(trial, "val_error") is None and last_measure(trial, "train_gflops") is None


def test_sub_phases_run_from_drop_to_restore():
    """Three cycles of 8 + 4 epochs of 21 steps."""
    trial = make_trial(
        make_spec(), 0, params={"cycles": 3, "s1_epochs": 8, "s2_epochs": 4, "prune_ratio": 0.3}
    )
    assert sub_phases(trial.history) == [(168, 252), (420, 504), (672, 756)]


def test_an_open_phase_ends_at_the_last_evaluation():
    """Cut short at epoch 11 of 8 + 4: the phase is shaded to where the curve ends."""
    trial = make_trial(make_spec(), 0, "interrupted", params={"cycles": 2, "s1_epochs": 8, "s2_epochs": 4})
    assert sub_phases(trial.history) == [(8 * 21, 11 * 21)]


def test_front_of_error_and_cost_by_hand():
    """(0.1, 9), (0.2, 5) and (0.2, 5) again are the front; (0.2, 6) and (0.3, 5) are not."""
    record = make_study(5, outcomes=("complete",), extras=())
    values = [(0.2, 5), (0.1, 9), (0.2, 6), (0.3, 5), (0.2, 5)]
    trials = [
        replace(t, values={"val_error": e, "train_gflops": float(c)})
        for t, (e, c) in zip(record.trials, values, strict=True)
    ]
    assert front_ranks(trials, BOTH) == {0: 0, 1: 0, 2: 1, 3: 1, 4: 0}
    assert [t.number for t in front(trials, BOTH)] == [1, 0, 4]
    assert best(with_attempts(record, trials=tuple(trials))).number == 1


def test_of_equal_errors_the_cheapest_is_the_best():
    """The best is always on the front; of equal trials it is the earliest."""
    record = make_study(4, outcomes=("complete",), extras=())
    values = [(0.1, 9), (0.1, 5), (0.1, 5), (0.2, 1)]
    trials = [
        replace(t, values={"val_error": e, "train_gflops": float(c)})
        for t, (e, c) in zip(record.trials, values, strict=True)
    ]
    assert best(with_attempts(record, trials=tuple(trials))).number == 1
    assert trials[1] in front(trials, BOTH)


def test_nothing_complete_has_no_front_and_no_best():
    """All failed is a study like any other."""
    record = make_study(4, outcomes=("error", "diverged"), extras=())
    assert front(record.trials, BOTH) == [] and best(record) is None


@pytest.mark.parametrize("layers", [None, RESNET])
def test_every_attempt_is_a_row_with_the_promised_columns(layers):
    """Search and controls, all outcomes, one flat row each."""
    record = make_study(layers=layers)
    rows = trial_rows(record)
    assert len(rows) == len(record.trials) + len(record.controls)
    assert all(tuple(row) == trial_columns(record) for row in rows)
    assert {row["outcome"] for row in rows} == {t.outcome for t in (*record.trials, *record.controls)}
    assert sum(row["decides_slot"] for row in rows if row["section"] == "search") == len(
        {t.slot for t in record.trials}
    )


def test_control_rows_have_the_promised_columns():
    """One row per arm, begun or not."""
    for record in (make_study(), make_study(0, extras=(), control_seeds=())):
        rows = control_rows(record)
        assert [row["arm"] for row in rows] == ["standard", "paper", "random-drop"]
        assert all(tuple(row) == CONTROL_COLUMNS for row in rows)


def test_seconds_add_up_over_all_attempts():
    """Interrupted attempts cost time too."""
    trials = make_study().trials
    expected = sum(t.result["seconds_spent"] for t in trials if "seconds_spent" in t.result)
    assert seconds_spent(trials) == pytest.approx(expected)


def test_an_attempt_taken_up_again_is_not_alone_twice():
    """Its seconds alone count from the first step each time; of each slot the longest is what it takes."""
    first, other = make_study(2, outcomes=("complete",), extras=()).trials
    attempts = [
        replace(first, number=n, result={**first.result, "seconds_alone": seconds, "seconds_spent": 2.0})
        for n, seconds in enumerate((3.0, 5.0, 0.0))
    ]
    other = replace(other, result={"seconds_alone": 4.0, "seconds_spent": 4.0})
    assert seconds_alone([*attempts, other]) == 9.0 and seconds_spent([*attempts, other]) == 10.0
    assert seconds_alone([replace(other, result={})]) == 0.0
