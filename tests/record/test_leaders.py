"""Which trials a confirmation trains again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reprtune.record.leaders import leader_arm, leader_slot, leaders, ranked
from reprtune.record.measures import at_the_end
from reprtune.record.schema import SeedRun, StudyRecord
from reprtune.spec.objectives import OBJECTIVES
from tests.confirmed import searched
from tests.flat import with_attempts


def with_costs(record: StudyRecord, *costs: float) -> StudyRecord:
    trials = tuple(
        replace(t, values={**(t.values or {}), "train_gflops": cost})
        for t, cost in zip(record.trials, costs, strict=True)
    )
    return with_attempts(record, trials=trials)


def test_the_lowest_errors_lead_and_of_equals_the_cheapest() -> None:
    """Then the earliest."""
    record = with_costs(searched(0.3, 0.1, 0.1, 0.2, 0.1), 1, 9, 4, 1, 4)
    assert [t.slot for t in leaders(record, 3)] == [2, 4, 1]
    assert [t.slot for t in leaders(record, 99)] == [2, 4, 1, 3, 0] and leaders(record, 0) == []


def test_equal_settings_count_once() -> None:
    """A sampler may draw the same again; the better of the two stands for both."""
    record = searched(0.2, 0.1, 0.3)
    same = tuple(replace(t, params=record.trials[1].params) if t.slot == 0 else t for t in record.trials)
    record = with_attempts(record, trials=same)
    assert [t.slot for t in leaders(record, 3)] == [1, 2]
    assert [t.slot for t in ranked(record)] == [1, 0, 2]


@pytest.mark.parametrize("outcome", ["stopped", "diverged", "running", "over-budget", "error", "lost"])
def test_only_complete_trials_lead(outcome: str) -> None:
    """However low the error at which another one was ended."""
    record = searched(0.2, 0.1)
    trials = tuple(replace(t, outcome=outcome) if t.slot == 1 else t for t in record.trials)
    assert [t.slot for t in leaders(with_attempts(record, trials=trials), 3)] == [0]


def test_an_error_that_is_no_objective_is_read_from_the_histories() -> None:
    """As the mean over the trial's seeds; without histories it is not known."""
    trial = replace(searched(0.2, objectives=("train_gflops",)).trials[0], values={"train_gflops": 1.0})
    last = trial.history.points[-1].val_error if trial.history else 0.0
    assert at_the_end(trial, "val_error") == last
    earlier = (SeedRun(seed=0, measured={"val_error": last + 0.1}),)
    assert at_the_end(replace(trial, seed=1, earlier=earlier), "val_error") == pytest.approx(last + 0.05)
    assert at_the_end(replace(trial, history=None), "val_error") is None


def test_a_record_from_before_an_objective_was_made_does_not_know_it() -> None:
    """What a curve has is read from it; a number of the network has to be recorded."""
    trial = searched(0.2).trials[0]
    old = replace(trial, result={k: v for k, v in trial.result.items() if k not in OBJECTIVES})
    assert trial.runs[0].measured.keys() == OBJECTIVES.keys()
    assert set(old.runs[0].measured) == {"val_error", "train_gflops"}
    assert at_the_end(old, "params") is None and at_the_end(trial, "params") == trial.result["params"]


def test_an_arm_says_which_slot_it_is() -> None:
    """And a control is none."""
    assert leader_slot(leader_arm(17)) == 17
    assert [leader_slot(arm) for arm in ("standard", "slot-", "slot-x", "slots-1")] == [None] * 4
