"""Settings that were drawn twice are one setting, with the mean over all its seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reprtune.analysis.confirmation import confirmation
from reprtune.analysis.front import front_ranks
from reprtune.analysis.importance import importances, rows
from reprtune.analysis.luck import best_of_search
from reprtune.analysis.tables import trial_rows
from reprtune.record.leaders import leaders
from reprtune.record.measures import at_the_end, seed_spread
from reprtune.record.ranking import best
from reprtune.record.repeats import joined
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from tests.confirmed import confirmed, searched
from tests.flat import with_attempts


def measured(trial: TrialRecord, error: float, cost: float, **changes: object) -> TrialRecord:
    """Its last seed measured just that."""
    ends = {"val_error": error, "train_gflops": cost}
    changed = {"values": ends, "result": {**trial.result, **ends}, **changes}
    return replace(trial, **changed)  # type: ignore[arg-type]


def drawn_again() -> StudyRecord:
    """Slots 1 and 3 have the settings of slot 0: 3 repeats 1, which repeats 0, and has been trained with two seeds."""
    first, again, other, third = searched(0.1, 0.3, 0.2, 0.2).trials
    earlier = (SeedRun(seed=1_000_001, measured={"val_error": 0.5, "train_gflops": 22.0}),)
    trials = (
        measured(first, 0.1, 10.0),
        measured(again, 0.3, 14.0, repeats=0, seed=1_000_000, params=first.params),
        measured(other, 0.25, 12.0),
        replace(
            measured(third, 0.3, 14.0, repeats=1, seed=1_000_002, params=first.params, earlier=earlier),
            values={"val_error": 0.4, "train_gflops": 18.0},
        ),
    )
    return with_attempts(searched(0.1, 0.3, 0.2, 0.2), trials=trials)


def test_a_setting_has_the_mean_over_all_its_seeds() -> None:
    """Errors 0.1, 0.3, 0.5 and 0.3 are 0.3 in the mean, costs 10, 14, 22 and 14 are 15; the standard deviation of the
    errors is the root of 0.08 / 3. It stands at its first slot."""
    one, other = joined(drawn_again().trials)
    assert (one.slot, one.number, one.seed, other.slot) == (0, 0, 0, 2)
    assert {run.seed for run in one.runs} == {0, 1_000_000, 1_000_001, 1_000_002}
    assert at_the_end(one, "val_error") == pytest.approx(0.3)
    assert at_the_end(one, "train_gflops") == pytest.approx(15)
    assert seed_spread(one, "val_error") == pytest.approx((0.08 / 3) ** 0.5)


def test_what_is_no_objective_is_a_mean_over_all_seeds_too() -> None:
    """It is read from the seeds."""
    record = drawn_again()
    known = [replace(t, values={"train_gflops": (t.values or {})["train_gflops"]}) for t in record.trials]
    one, _ = joined(known)
    assert at_the_end(one, "val_error") == pytest.approx(0.3)


def test_without_repeats_nothing_changes() -> None:
    """Most searches draw no setting twice."""
    trials = searched(0.1, 0.2).trials
    assert joined(trials) == trials and joined(()) == ()


@pytest.mark.parametrize("outcome", ["running", "stopped", "diverged", "lost"])
def test_only_complete_trials_are_joined(outcome: str) -> None:
    """What became of the other one is still to be seen."""
    first, again, *_ = drawn_again().trials
    again = replace(again, outcome=outcome, values=None)
    assert joined((first, again)) == (first, again)
    assert joined((replace(first, outcome=outcome, values=None), again)) == (
        replace(first, outcome=outcome, values=None),
        again,
    )


def test_repeats_of_a_slot_without_an_end_are_joined_with_each_other() -> None:
    """The first that is complete stands for the setting."""
    first, again, _, third = drawn_again().trials
    stopped = replace(first, outcome="stopped", values=None)
    found = joined((stopped, again, third))
    assert [t.slot for t in found] == [0, 1]
    assert at_the_end(found[1], "val_error") == pytest.approx((0.3 + 0.5 + 0.3) / 3)


def test_a_setting_counts_once_wherever_settings_are_ranked() -> None:
    """By its mean slot 0 is behind slot 2, which its lucky first seed had beaten."""
    record = drawn_again()
    assert [t.slot for t in leaders(record, 9)] == [2, 0]
    lead = best(record)
    assert lead is not None and lead.slot == 2
    found = best_of_search(record)
    assert found is not None and (found.slot, found.n_seeds, found.k) == (2, 1, 2)
    assert front_ranks(joined(record.trials), ("val_error", "train_gflops")) == {0: 1, 2: 0}
    assert [value for _, value in rows(record, "val_error")] == pytest.approx([0.3, 0.25])
    assert importances(record).n_complete == 2


def test_the_table_of_attempts_keeps_each() -> None:
    """With the slot it repeats, and its own numbers; ranks stand at settings."""
    told = [r for r in trial_rows(drawn_again()) if r["section"] == "search"]
    assert [r["repeats"] for r in told] == [None, 0, None, 1]
    assert [r["val_error"] for r in told] == [0.1, 0.3, 0.25, 0.4]
    assert [r["front_rank"] for r in told] == [1, None, 0, None]


def test_a_leader_is_held_against_what_its_setting_reached() -> None:
    """Confirmed was slot 0, selected at the mean of its four seeds; a person may confirm a repeat by its own slot."""
    found = confirmation(confirmed(drawn_again(), {"slot-0": [0.3], "slot-3": [0.3], "standard": [0.2]}))
    assert found is not None
    assert {a.arm: a.search_val for a in found.arms if a.slot is not None} == {
        "slot-0": pytest.approx(0.3),
        "slot-3": pytest.approx(0.4),
    }
