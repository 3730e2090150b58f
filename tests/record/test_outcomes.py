"""What every outcome has to have, whichever there are."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace

import pytest
from mlflow.entities import RunStatus
from optuna.trial import TrialState

from dashboards import theme
from reprtune.record.outcomes import Outcome, counted, read_outcome
from tests.factories import make_spec, make_trial


@pytest.mark.parametrize("outcome", list(Outcome), ids=str)
def test_what_hangs_on_an_outcome_is_known_to_whoever_is_told(outcome: Outcome) -> None:
    """Optuna has the state, MLflow the status, the theme the colour, a person a sentence without an end."""
    assert outcome.state in TrialState.__members__
    assert RunStatus.from_string(outcome.status) in RunStatus.all_status()  # raises for what is none
    assert outcome.colour in theme.COLOURS
    assert outcome.words and not outcome.words.endswith(".")


@pytest.mark.parametrize("outcome", list(Outcome), ids=str)
def test_what_hangs_on_an_outcome_agrees_with_itself(outcome: Outcome) -> None:
    """It is open or has ended, for Optuna too; what is exported or cut short was trained and used its slot up."""
    finished = TrialState[outcome.state].is_finished()
    assert outcome.is_open == (not finished) and outcome.is_final <= finished
    assert outcome.holds_slot == (outcome.is_open or outcome.is_final)
    assert outcome.is_exported <= outcome.is_recomputed <= outcome.is_final
    assert outcome.is_cut_short <= outcome.is_recomputed and outcome.is_redrawn <= (not outcome.holds_slot)
    assert outcome.is_comparable <= outcome.is_trained and outcome.is_exported <= outcome.is_comparable
    assert outcome.is_broken <= (outcome.is_final and outcome.is_failure)
    assert outcome.is_broken == (outcome.status == "FAILED")


def test_no_two_outcomes_look_alike() -> None:
    """In the colour and the pattern of a bar."""
    looks = [(theme.COLOURS[outcome.colour], outcome.pattern) for outcome in Outcome]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("outcome", list(Outcome), ids=str)
def test_an_outcome_is_its_word(outcome: Outcome) -> None:
    """In sentences, as JSON, as a key, in other processes; an unknown word is none."""
    word = outcome.value
    assert type(word) is str and outcome == word and {word: 1}[outcome] == 1
    assert str(outcome) == f"{outcome}" == word and f"{outcome:>20}" == word.rjust(20)
    assert json.loads(json.dumps({outcome: outcome})) == {word: word}
    assert pickle.loads(pickle.dumps(outcome)) is copy.deepcopy(outcome) is Outcome(word) is outcome
    with pytest.raises(ValueError, match="nonsense"):
        Outcome("nonsense")


def test_a_record_takes_the_word() -> None:
    """And has the member."""
    trial = make_trial(make_spec(), 0, "complete")
    assert trial.outcome is Outcome.COMPLETE and replace(trial, outcome="lost").outcome is Outcome.LOST


@pytest.mark.parametrize("outcome", list(Outcome), ids=str)
def test_the_word_of_a_worker_counts_where_its_state_is_optunas(outcome: Outcome) -> None:
    """Else a failed trial is lost and a pruned one was stopped; the rest says itself."""
    assert read_outcome(outcome.state, str(outcome)) is outcome
    alone = {"FAIL": Outcome.LOST, "PRUNED": Outcome.STOPPED}.get(outcome.state, outcome)
    assert read_outcome(outcome.state, None) is read_outcome(outcome.state, ["x"]) is alone


def test_outcomes_are_counted_in_their_order() -> None:
    """Those that do not occur are left out."""
    seen = [Outcome.LOST, Outcome.WAITING, Outcome.LOST]
    assert list(counted(seen).items()) == [(Outcome.WAITING, 1), (Outcome.LOST, 2)]
