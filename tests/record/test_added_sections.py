"""Sections that were added to a stored study, attempts that count no more, and studies of before there were sections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.errors import SpecError, StudyError
from reprtune.record import storage as stored
from reprtune.record.database import experimental_allowed
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.spec.codec import to_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import named
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.search import Search
from reprtune.study.queueing import refill
from reprtune.work.samplers import distribution
from tests.stored import empty_storage, foreign_study, new_study
from tests.tiny_study import STUDY

MORE = Arms(name="more", design=named(Arm(name="late", changes={"method.s1": "2ep"})), seeds=(0, 1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def read(storage: RDBStorage) -> StudyRecord:
    """As reports do; workers see the same."""
    study = stored.read_study(storage, "tiny", histories=False)
    seen = StudyView(storage, "tiny").record()
    assert (seen.spec, seen.digest, seen.attempts) == (study.spec, study.digest, study.attempts)
    return study


# -- added ------------------------------------------------------------------------------------------


def test_an_added_section_is_read_back_beside_what_was_created(file: Path) -> None:
    """What was created stays, word by word, and so does its digest; the section has an Optuna study of its own."""
    storage, spec = new_study(file)
    before, attribute = read(storage), stored.read_attribute(storage, "tiny")
    stored.add_section(storage, before, MORE)
    after = read(storage)
    assert after.spec == spec.with_section(MORE) and after.digest == before.digest
    assert stored.read_attribute(storage, "tiny") == attribute
    assert after.of("more") == () and after.pending("more") == 2
    assert after.attempts == {**before.attempts, "more": ()}
    assert stored.names(storage) == ["tiny"]
    assert stored.sections_of(storage, "tiny") == ["tiny.controls", "tiny.more"]


def test_what_was_added_is_queued_and_read(file: Path) -> None:
    """With its section's name, arm, seed and settings; the trials that were there stay as they are."""
    storage, _ = new_study(file)
    before = read(storage)
    stored.add_section(storage, before, MORE)
    assert refill(StudyView(storage, "tiny")) == 2 and refill(StudyView(storage, "tiny")) == 0
    after = read(storage)
    assert {**after.attempts, "more": ()} == {**before.attempts, "more": ()}
    found = [(t.section, t.slot, t.arm, t.seed, t.settings) for t in after.of("more")]
    changes = {"method.schedule.s1": "2ep"}
    assert found == [("more", 0, "late", 0, changes), ("more", 1, "late", 1, changes)]


def test_the_last_value_of_a_name_counts(file: Path) -> None:
    """Also of a section that the study was created with; one trial for each cell that is new."""
    storage, spec = new_study(file)
    controls = spec.comparisons[0]
    for seeds in ((0, 1, 2), (0, 1, 2, 3)):
        stored.add_section(storage, read(storage), replace(controls, seeds=seeds))
        stored.add_section(storage, read(storage), replace(MORE, seeds=seeds))
    after = read(storage)
    assert [section.name for section in after.spec.sections] == ["controls", "search", "more"]
    assert [section.seeds for section in after.spec.comparisons] == [(0, 1, 2, 3)] * 2
    assert refill(StudyView(storage, "tiny")) == 2 * 2 + 4
    assert [t.seed for t in read(storage).of("controls")] == [0, 1, 0, 1, 2, 3, 2, 3]


def test_a_confirmation_has_no_trials_until_it_is_queued(file: Path) -> None:
    """It waits for the sections before it; also where its Optuna study is not made yet."""
    storage, _ = new_study(file)
    confirmation = Confirmation(top=1, seeds=(5, 6))
    stored.add_section(storage, read(storage), confirmation)
    assert refill(StudyView(storage, "tiny")) == 0
    assert read(storage).spec.confirmation == confirmation and read(storage).confirmation == ()
    optuna.delete_study(study_name="tiny.confirmation", storage=storage)
    assert read(storage).confirmation == ()


def test_the_next_value_of_a_search_stays_in_its_own_study(file: Path) -> None:
    """It is stored under the study's name, whatever else of it is changed."""
    storage, spec = new_study(file)
    assert spec.search is not None
    stored.add_section(storage, read(storage), replace(spec.search, slots=6))
    assert stored.sections_of(storage, "tiny") == ["tiny.controls"]
    assert refill(StudyView(storage, "tiny")) == 2 and len(read(storage).trials) == 6


@pytest.mark.parametrize(
    ("section", "error", "message"),
    [
        (Confirmation(seeds=(1,)), SpecError, "confirmation.seeds must be fresh"),
        (replace(MORE, design=named(Arm(name="base"))), SpecError, "Arms need different names"),
        (replace(MORE, design=named(Arm(name="x", changes={"method.s3": 1}))), SpecError, "There is no field"),
        (Search(name="wide", space=STUDY.space), SpecError, "A study has at most one search"),
        (replace(MORE, name="taken"), StudyError, "there is a study named 'tiny.taken'"),
        (replace(MORE, name="foreign"), StudyError, "'tiny.foreign' in this storage was not made by reprtune"),
    ],
)  # fmt: skip
def test_a_section_that_the_study_cannot_have_is_not_stored(
    file: Path, section: Any, error: type[Exception], message: str
) -> None:
    """It is refused before anything is written."""
    storage, _ = new_study(file)
    new = empty_study(storage, "tiny.taken")
    new.set_user_attr("reprtune", {"role": "study"})
    foreign_study(storage, "tiny.foreign")
    names = {s.study_name for s in storage.get_all_studies()}
    with pytest.raises(error, match=message):
        stored.add_section(storage, stored.read_study(storage, "tiny"), section)
    assert {s.study_name for s in storage.get_all_studies()} == names
    assert read(storage).spec == STUDY


def test_a_comparison_gets_no_search(file: Path) -> None:
    """What Optuna is told of the study was settled when it was created."""
    storage, spec = new_study(file, slots=0)
    assert spec.search is None
    with pytest.raises(SpecError, match="it was created without a search"):
        stored.add_section(storage, read(storage), Search(space=STUDY.space))
    assert read(storage).spec == spec


# -- repaired ---------------------------------------------------------------------------------------


def test_an_attempt_that_was_repaired_counts_no_more(file: Path) -> None:
    """It stays in the record; its slot is open again, that of the same number in another section is not."""
    storage, _ = new_study(file)
    for name in ("tiny", "tiny.controls"):
        end(storage, name, 0, TrialState.FAIL, {"outcome": "error", "error": "x"})
    assert read(storage).pending() == 6
    stored.mark_repaired(storage, "tiny", "search", [0])
    stored.mark_repaired(storage, "tiny", "search", [0, 2])
    assert stored.repaired(storage, "tiny") == {"search": [0, 2]}
    after = read(storage)
    assert [(t.outcome, t.repaired, t.is_final) for t in (after.trials[0], after.controls[0])] == [
        ("error", True, False), ("error", False, True)
    ]  # fmt: skip
    assert (after.pending("search"), after.pending("controls")) == (4, 3)


# -- damaged ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("reprtune.added", {}, "is no list: {}"),
        ("reprtune.added", "x", "is no list: 'x'"),
        ("reprtune.added", [3], "cannot be read: section.kind must be one of arms"),
        ("reprtune.added", [{"kind": "grid"}], "cannot be read: section.kind must be one of arms"),
        ("reprtune.added", [{"kind": "confirmation", "seeds": []}], "cannot be read: confirmation.seeds must hold"),
        ("reprtune.added", [{"kind": "confirmation", "seeds": [0]}], "cannot be read: confirmation.seeds must be fre"),
        ("reprtune.added", [{"kind": "search"}], "cannot be read: space must name"),
        ("reprtune.repaired", [], "is not of its form: []"),
        ("reprtune.repaired", {"search": 3}, "is not of its form"),
        ("reprtune.repaired", {"search": [-1]}, "is not of its form"),
        ("reprtune.repaired", {"search": ["0"]}, "is not of its form"),
    ],
)  # fmt: skip
def test_a_damaged_attribute_is_named(file: Path, key: str, value: object, said: str) -> None:
    """By whoever reads the study; it is listed as one that cannot be read."""
    storage, _ = new_study(file)
    storage.set_study_user_attr(storage.get_study_id_from_name("tiny"), key, value)
    message = f"In the study 'tiny' the attribute {key!r} {said}"
    for call in (lambda: stored.read_study(storage, "tiny"), lambda: StudyView(storage, "tiny").record()):
        with pytest.raises(StudyError) as caught:
            call()
        assert caught.value.message.startswith(message)
    assert stored.read_studies(storage)[1].keys() == {"tiny"}


def test_a_damaged_trial_is_named_with_its_section(file: Path) -> None:
    """Trials of each section have numbers of their own."""
    storage, _ = new_study(file)
    trial = storage.get_all_trials(storage.get_study_id_from_name("tiny.controls"))[2]
    storage.set_trial_user_attr(trial._trial_id, "lease", 3)
    for call in (lambda: stored.read_study(storage, "tiny"), lambda: StudyView(storage, "tiny").record()):
        with pytest.raises(
            StudyError, match=r"In trial 2 of the study 'tiny\.controls' the attribute 'lease'"
        ):
            call()


# -- before there were sections ---------------------------------------------------------------------

FLAT = {
    "name": "tiny", "question": STUDY.question, "decision": STUDY.decision, "cost": STUDY.cost,
    "base": to_plain(STUDY.base), "space": to_plain(STUDY.space), "objectives": ["val_error", "train_gflops"],
    "sampler": "tpe", "slots": 4, "seeds": 1, "max_seconds": None, "max_gflops": None, "seed": 0,
    "stop": {"rule": "none", "min_comparable": 5, "percentile": None, "reduction_factor": None},
    "controls": [{"name": "standard", "changes": {"method": "standard"}}, {"name": "base", "changes": {}}],
    "control_seeds": [0, 1],
}  # fmt: skip
CELLS = [("standard", 0), ("standard", 1), ("base", 0), ("base", 1)]
DRAWN = {"lr": 0.01, "s1_epochs": 2, "cycles": 1, "criterion": "l2"}
SETTINGS = {
    "training.lr": 0.01, "method.schedule.s1": "2ep", "method.schedule.cycles": 1, "method.criterion": "l2"
}  # fmt: skip
CONFIRMED = {"standard": {"method": "standard"}, "base": {}, "slot-2": SETTINGS}


def empty_study(storage: RDBStorage, name: str, n: int = 1) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name=name, directions=["minimize"] * n)


def end(
    storage: RDBStorage,
    name: str,
    number: int,
    state: TrialState,
    result: Mapping[str, Any],
    values: Sequence[float] | None = None,
) -> None:
    trial = storage.get_all_trials(storage.get_study_id_from_name(name))[number]
    storage.set_trial_user_attr(trial._trial_id, "result", dict(result))
    storage.set_trial_state_values(trial._trial_id, state, values)


def old_study(storage: RDBStorage, *, confirmed_seeds: Sequence[int] = (), **changes: Any) -> str:
    """As the version before sections left it, with slot 2 complete; returns its digest."""
    text = json.dumps({**FLAT, **changes}, sort_keys=True, separators=(",", ":"))
    attribute = {
        "spec": text, "digest": hashlib.sha256(text.encode()).hexdigest(), "created": 5.0, "version": "0.1.0",
        "facts": {"steps_per_epoch": 2, "total_steps": 8, "data_digest": "d"},
    }  # fmt: skip
    search = empty_study(storage, "tiny", 2)
    for slot in range({**FLAT, **changes}["slots"]):
        search.enqueue_trial({}, user_attrs={"slot": slot})
    controls = empty_study(storage, "tiny.controls")
    for slot, (arm, seed) in enumerate(CELLS if {**FLAT, **changes}["controls"] else ()):
        controls.enqueue_trial({}, user_attrs={"slot": slot, "arm": arm, "seed": seed})
    with experimental_allowed():
        search.set_metric_names(["val_error", "train_gflops"])
        controls.set_metric_names(["val_error"])
    controls.set_user_attr("reprtune", {**attribute, "role": "controls"})
    search.set_user_attr("reprtune", {**attribute, "role": "search"})
    if confirmed_seeds:
        old_confirmation(storage, attribute["digest"], confirmed_seeds)
    return str(attribute["digest"])


def old_confirmation(storage: RDBStorage, digest: str, seeds: Sequence[int]) -> None:
    """Its Optuna study; nothing is said of it in that of the study."""
    study = empty_study(storage, "tiny.confirmation")
    study.set_user_attr("reprtune", {"digest": digest, "role": "confirmation"})
    cells = [(arm, seed) for seed in seeds for arm in CONFIRMED]
    for slot, (arm, seed) in enumerate(cells):
        attrs = {"slot": slot, "arm": arm, "seed": seed, "settings": CONFIRMED[arm]}
        study.enqueue_trial({}, user_attrs=attrs)


def test_a_study_of_before_sections_is_read_whole(file: Path) -> None:
    """The same specification, digest, slots, arms and seeds; what an arm changes is read from the study."""
    storage = empty_storage(file)
    digest = old_study(storage)
    study = read(storage)
    assert (study.spec, study.digest, study.created) == (STUDY, digest, 5.0)
    assert [(t.section, t.slot, t.arm, t.settings) for t in study.trials] == [
        ("search", slot, None, None) for slot in range(4)
    ]
    changes = {"standard": {"method": "standard"}, "base": {}}
    assert [(t.section, t.slot, t.arm, t.seed, t.settings) for t in study.controls] == [
        ("controls", slot, arm, seed, changes[arm]) for slot, (arm, seed) in enumerate(CELLS)
    ]
    assert study.confirmation == () and study.pending() == 8
    assert refill(StudyView(storage, "tiny")) == 0  # nothing is queued twice


def test_a_confirmation_of_before_sections_is_one(file: Path) -> None:
    """Its seeds and slots are those of its trials, its settings theirs; the study's digest is as it was."""
    storage = empty_storage(file)
    digest = old_study(storage, confirmed_seeds=(3, 2))
    study = read(storage)
    assert study.spec == STUDY.with_section(Confirmation(top=0, slots=(2,), seeds=(2, 3)))
    assert study.digest == digest
    assert [(t.section, t.arm, t.seed, t.settings) for t in study.confirmation] == [
        ("confirmation", arm, seed, CONFIRMED[arm]) for seed in (3, 2) for arm in CONFIRMED
    ]
    assert (study.unsettled(), study.unconfirmed()) == (8, 6)


def test_a_finished_study_of_before_sections_has_nothing_more_to_do(file: Path) -> None:
    """All its cells are there: of the search, the arms and the confirmation."""
    storage = empty_storage(file)
    old_study(storage, confirmed_seeds=(2, 3))
    for number in range(4):
        if number != 2:
            end(storage, "tiny", number, TrialState.FAIL, {"outcome": "error", "error": "x"})
        end(storage, "tiny.controls", number, TrialState.COMPLETE, {"outcome": "complete"}, [0.5])
    complete_slot_2(storage)
    study = read(storage)
    assert (study.pending("search"), study.pending("controls"), study.pending("confirmation")) == (0, 0, 6)
    assert refill(StudyView(storage, "tiny")) == 0


def complete_slot_2(storage: RDBStorage) -> None:
    """With draws that are the settings of `slot-2`."""
    trial = storage.get_all_trials(storage.get_study_id_from_name("tiny"))[2]
    for name, range_ in STUDY.params.items():
        kind = distribution(range_)
        storage.set_trial_param(trial._trial_id, name, kind.to_internal_repr(DRAWN[name]), kind)
    end(storage, "tiny", 2, TrialState.COMPLETE, {"outcome": "complete"}, [0.4, 1.0])


@pytest.mark.parametrize(
    ("changes", "section"), [({"controls": []}, "search"), ({"slots": 0, "space": {}}, "controls")]
)
def test_a_study_of_before_sections_without_controls_or_search(
    file: Path, changes: dict[str, Any], section: str
) -> None:
    """The Optuna study that would have held them is there, empty, and is no section."""
    storage = empty_storage(file)
    old_study(storage, **changes)
    study = read(storage)
    assert [one.name for one in study.spec.sections] == [section]
    assert study.pending() == 4 and refill(StudyView(storage, "tiny")) == 0
    stored.delete(storage, "tiny")
    assert storage.get_all_studies() == []


def test_a_study_of_before_sections_is_deleted_whole(file: Path) -> None:
    """And is a study's name like any other: nothing is made over it."""
    storage = empty_storage(file)
    old_study(storage, confirmed_seeds=(2,))
    assert stored.names(storage) == ["tiny"]
    assert stored.sections_of(storage, "tiny") == ["tiny.controls", "tiny.confirmation"]
    with pytest.raises(StudyError, match="just created by somebody else"):
        stored.create(storage, read(storage))
    assert read(storage).pending() == 8 + 3
    stored.delete(storage, "tiny")
    assert storage.get_all_studies() == []


def test_a_damaged_confirmation_of_before_sections_is_named(file: Path) -> None:
    """Its seeds cannot be those of the study."""
    storage = empty_storage(file)
    old_study(storage, confirmed_seeds=(1,))
    with pytest.raises(
        StudyError, match=r"In the study 'tiny\.confirmation' .* confirmation\.seeds must be fresh, but \[1\]"
    ):
        stored.read_study(storage, "tiny")
