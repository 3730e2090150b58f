"""Studies as they are stored: whole or not at all, read back as they were, and nobody else's touched."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from reprtune.errors import StudyError
from reprtune.record import storage as stored
from reprtune.record.outcomes import Outcome
from reprtune.record.pack import pack, unpack
from reprtune.record.trials import to_record
from reprtune.record.view import StudyView
from reprtune.spec.codec import to_plain
from reprtune.spec.presets import STANDARD
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.study.queueing import fill_new
from studies.repr_ablation import STUDY as ABLATION
from tests.conftest import ROOT
from tests.factories import make_history
from tests.stored import empty_storage, foreign_study, new_study, record
from tests.tiny_study import STUDY

NAMES = ("tiny", "tiny.controls")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def test_a_new_study_is_two_of_optunas_with_every_slot_waiting(file: Path) -> None:
    """4 slots, and 2 arms with 2 seeds each; all minimised, under the names of their measures."""
    storage, _ = new_study(file)
    search = optuna.load_study(study_name="tiny", storage=storage)
    controls = optuna.load_study(study_name="tiny.controls", storage=storage)
    assert [t.user_attrs for t in search.trials] == [{"slot": i} for i in range(4)]
    assert [(t.user_attrs["arm"], t.user_attrs["seed"]) for t in controls.trials] == [
        ("standard", 0), ("standard", 1), ("base", 0), ("base", 1)
    ]  # fmt: skip
    assert {t.state for t in (*search.trials, *controls.trials)} == {TrialState.WAITING}
    assert {*search.directions, *controls.directions} == {optuna.study.StudyDirection.MINIMIZE}
    assert search.metric_names == ["val_error", "train_gflops"] and controls.metric_names == ["val_error"]


def test_a_study_is_read_back_as_it_was_written(file: Path) -> None:
    """The specification comes from the storage, not from a checkout."""
    storage, spec = new_study(file, question="other?")
    read = stored.read_study(storage, "tiny")
    assert read.spec == spec and read.digest == record(spec).digest
    assert read.facts == {"steps_per_epoch": 2, "total_steps": 8, "data_digest": "d"}
    assert read.pending() == 8 and read.counts() == {"waiting": 4}


def test_a_study_of_an_older_version_is_read_as_todays(file: Path) -> None:
    """Its methods were flat tables; what was stored, its digest too, stays as it is."""
    older = json.loads((ROOT / "tests/spec/older_studies.json").read_text())[0]
    storage = empty_storage(file)
    stored.create(storage, replace(record(ABLATION), digest=older["digest"]))
    study = storage.get_study_id_from_name("repr-ablation")
    attribute = {**storage.get_study_user_attrs(study)[stored.ATTRIBUTE], "spec": older["text"]}
    storage.set_study_user_attr(study, stored.ATTRIBUTE, attribute)
    read = stored.read_study(storage, "repr-ablation")
    assert (read.spec.base, read.spec.search, read.digest) == (
        ABLATION.base,
        ABLATION.search,
        older["digest"],
    )
    assert all(arm in ABLATION.arms for arm in read.spec.arms) and not read.spec.rules
    assert storage.get_study_user_attrs(study)[stored.ATTRIBUTE] == attribute


def test_a_slot_of_an_older_confirmation_is_read_as_todays() -> None:
    """What its arm changes may be a whole flat table."""
    settings = {"method": {"cycles": 0, "s1": "5ep"}, "training.lr": 0.2}
    attrs = {"slot": 0, "arm": "a", "seed": 7, "settings": settings}
    trial = optuna.trial.create_trial(state=TrialState.WAITING, user_attrs=attrs)
    found = to_record(trial, STUDY, Confirmation(seeds=(7,)))
    assert found.settings == {"method": to_plain(STANDARD), "training.lr": 0.2}


@pytest.mark.parametrize("step", range(1, 24))
def test_a_create_that_is_cut_short_leaves_nothing(file: Path, step: int) -> None:
    """Whichever write to the database fails: no study of that name, not even half of one, and it can be made
    afterwards."""
    storage = empty_storage(file)
    made = 0

    def cut(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal made
        made += statement.startswith(("INSERT", "UPDATE"))
        if made == step:
            made += 1  # once: what cleans up may write
            raise KeyboardInterrupt

    def create() -> None:
        new = record(STUDY)
        stored.create(storage, new, lambda: fill_new(StudyView(storage, "tiny"), new))

    sqlalchemy.event.listen(storage.engine, "before_cursor_execute", cut)
    try:
        create()
    except KeyboardInterrupt:
        assert storage.get_all_studies() == []
    else:
        assert made < step, "this write came after the last one"
    sqlalchemy.event.remove(storage.engine, "before_cursor_execute", cut)
    if not storage.get_all_studies():
        create()
    assert stored.names(storage) == ["tiny"] and stored.read_study(storage, "tiny").pending() == 8


def test_what_a_killed_create_left_is_no_study_and_is_made_anew(file: Path) -> None:
    """Killed with -9 between its two halves: neither listed nor readable, and `create` begins again."""
    storage, spec = new_study(file)
    search = storage.get_study_id_from_name("tiny")
    storage.set_study_user_attr(search, stored.ATTRIBUTE, {"role": stored.UNFINISHED})
    assert stored.names(storage) == []
    with pytest.raises(StudyError, match="There is no study 'tiny'"):
        stored.read_study(storage, "tiny")
    stored.create(storage, again := record(spec), lambda: fill_new(StudyView(storage, "tiny"), again))
    assert stored.names(storage) == ["tiny"]
    assert stored.read_study(storage, "tiny").pending() == 8
    assert [len(storage.get_all_trials(storage.get_study_id_from_name(n))) for n in NAMES] == [4, 4]


def test_a_delete_that_was_killed_can_be_repeated(file: Path) -> None:
    """The controls go first, so that the study is still found by its name."""
    storage, _ = new_study(file)
    optuna.delete_study(study_name="tiny.controls", storage=storage)
    stored.delete(storage, "tiny")
    assert storage.get_all_studies() == []
    stored.delete(storage, "tiny")


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_somebody_else_is_never_removed(file: Path, name: str) -> None:
    """Not by create, not by reading, not by delete, to which a section that is not ours is no section."""
    storage = empty_storage(file)
    foreign_study(storage, name)
    for call in (lambda: stored.create(storage, record(STUDY)), lambda: stored.read_attribute(storage, name)):
        with pytest.raises(StudyError, match=f"{name!r} in this storage was not made by reprtune"):
            call()
    with contextlib.suppress(StudyError):
        stored.delete(storage, "tiny")
    assert stored.names(storage) == []
    assert [(s.study_name, s.n_trials) for s in optuna.get_all_study_summaries(storage)] == [(name, 1)]


def test_a_name_that_is_not_there_gets_the_nearest(file: Path) -> None:
    """The controls are no study of their own."""
    storage, _ = new_study(file)
    with pytest.raises(StudyError, match="There is no study 'tinny'") as raised:
        stored.read_study(storage, "tinny")
    assert "Did you mean tiny?" in str(raised.value.hint)
    with pytest.raises(StudyError, match=r"There is no study 'tiny\.controls'"):
        stored.read_study(storage, "tiny.controls")


ENDS = {
    "waiting": (None, {}),
    "running": (TrialState.RUNNING, {}),
    "complete": (TrialState.COMPLETE, {"outcome": "complete"}),
    "stopped": (TrialState.PRUNED, {"outcome": "stopped"}),
    "diverged": (TrialState.PRUNED, {"outcome": "diverged"}),
    "infeasible": (TrialState.PRUNED, {"outcome": "infeasible"}),
    "out-of-memory": (TrialState.FAIL, {"outcome": "out-of-memory"}),
    "error": (TrialState.FAIL, {"outcome": "error", "error": "x"}),
    "over-budget": (TrialState.FAIL, {"outcome": "over-budget"}),
    "interrupted": (TrialState.FAIL, {"outcome": "interrupted"}),
    "lost": (TrialState.FAIL, {}),
    "hung": (TrialState.FAIL, {"outcome": "hung"}),
    "repeated": (TrialState.FAIL, {"outcome": "repeated"}),
    "duplicate": (TrialState.FAIL, {"outcome": "duplicate"}),
}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_is_read_back(file: Path, outcome: Outcome) -> None:
    """From Optuna's state, and the worker's word where that agrees with it."""
    storage, _ = new_study(file, slots=1)
    (trial,) = storage.get_all_trials(storage.get_study_id_from_name("tiny"))
    state, result = ENDS[outcome]
    if result:
        storage.set_trial_user_attr(trial._trial_id, "result", result)
    if state is not None:
        storage.set_trial_state_values(trial._trial_id, state, [0.5, 2.0] if outcome == "complete" else None)
    (read,) = stored.read_study(storage, "tiny").trials
    assert read.outcome == outcome and read.slot == 0
    assert read.values == ({"val_error": 0.5, "train_gflops": 2.0} if outcome == "complete" else None)
    assert stored.read_study(storage, "tiny").pending() == 5 - outcome.is_final


@pytest.mark.parametrize(
    ("said", "state", "outcome"),
    [
        ("complete", TrialState.FAIL, "lost"),
        ("error", TrialState.PRUNED, "stopped"),
        ("x", TrialState.FAIL, "lost"),
    ],
)
def test_a_word_that_optuna_contradicts_does_not_count(
    file: Path, said: str, state: TrialState, outcome: str
) -> None:
    """A worker that wrote its result and was declared dead before it told Optuna: its slot is not used up."""
    storage, _ = new_study(file, slots=1)
    (trial,) = storage.get_all_trials(storage.get_study_id_from_name("tiny"))
    storage.set_trial_user_attr(trial._trial_id, "result", {"outcome": said})
    storage.set_trial_state_values(trial._trial_id, state)
    assert stored.read_study(storage, "tiny").trials[0].outcome == outcome


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_histories_survive_packing(seed: int, until_epoch: int) -> None:
    """As one text that a database column takes, equal in every field."""
    params = {"prune_ratio": 0.3, "s1_epochs": 8, "s2_epochs": 4, "cycles": 3}
    history = make_history(params, random.Random(seed), until_epoch=until_epoch)
    text = pack(history)
    assert unpack(text) == history and text.isascii()


@pytest.mark.parametrize(("of_seed", "rungs"), [(0, ()), (1, ((4, 0.5),))])
def test_the_rungs_of_a_seed_that_is_finished_are_not_those_of_the_next(of_seed: int, rungs: object) -> None:
    """Between two seeds the attribute still holds the first one's; those stand with that seed."""
    first = {"points": [[4, 0.5]], "planned_gflops": 2.0}
    seed = {"seed": 0, "val_error": 0.5, "train_gflops": 2.0, "rungs": first, "state": "s"}
    attrs = {"slot": 0, "seed-0": seed, "rungs": {**first, "seed": of_seed}}
    trial = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attrs)
    record = to_record(trial, STUDY, STUDY.section("search"))
    assert record.seed == 1 and record.rungs == rungs
    assert record.earlier[0].rungs == ((4, 0.5),)
