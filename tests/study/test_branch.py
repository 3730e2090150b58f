"""`study branch`: an arm beside its trunk, paired, once, and known by every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reprtune.errors import ReprtuneError, SpecError, StudyError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.spec.branch import Branch
from reprtune.study.branch import branch_study
from reprtune.study.code import check_code
from reprtune.study.extend import extend_study
from tests.tiny_study import STUDY
from tests.work.tiny_worker import create, read, work

SLOWER = Branch(at="cycle=1", changes={"training.lr": 0.02})


def test_a_branch_is_an_arm_beside_its_trunk(tmp_path: Path) -> None:
    """With the trunk's seeds, compared with it; what was created stays, the same again adds nothing, and a further one
    joins the section."""
    settings = create(tmp_path, slots=1)
    storage = open_storage(settings.storage_url)
    before = stored.read_attribute(storage, "tiny")
    done = branch_study(storage, "tiny", settings, "base-s1", SLOWER)
    assert (done.section.name, done.section.seeds, done.n_new) == ("branches", (0, 1), 2)
    (arm,) = done.section.arms(STUDY.base)
    assert arm.against == ("base",) and arm.changes == {
        "branch": {"at": "cycle=1", "changes": {"training.lr": 0.02}}
    }
    again = branch_study(storage, "tiny", settings, "base-s0", SLOWER)
    assert (again.arm, again.n_new) == (done.arm, None)
    other = branch_study(storage, "tiny", settings, "base-s0", Branch(at="3ep"), "same")
    assert (other.section.name, other.n_new) == ("branches", 2)
    assert [one.name for one in other.section.arms(STUDY.base)] == [done.arm, "same"]
    assert stored.read_attribute(storage, "tiny") == before
    assert json.loads(before["spec"])["base"].keys() == {"task", "model", "training", "method", "seed"}


def test_a_branch_is_trained_and_paired(tmp_path: Path) -> None:
    """One without changes has the errors of its trunk, seed by seed, and of all of them only what is new is trained: the
    trunk's states up to the point stay for the next one."""
    settings = create(tmp_path, slots=1)
    storage = open_storage(settings.storage_url)
    branch_study(storage, "tiny", settings, "base-s0", Branch(at="cycle=1"), "same")
    branch_study(storage, "tiny", settings, "base-s0", SLOWER, "slower")
    work(settings)
    errors = {(t.arm, t.seed): t.result["val_error"] for t in read(settings).controls}
    assert [errors["same", seed] for seed in (0, 1)] == [errors["base", seed] for seed in (0, 1)]
    spent = {(t.arm, t.seed): t.result["steps_spent"] for t in read(settings).controls}
    # 8 steps, the cycle ends after 4 of them.
    assert {spent["same", seed] for seed in (0, 1)} == {0} and {spent["slower", seed] for seed in (0, 1)} == {
        4
    }
    late = branch_study(
        storage, "tiny", settings, "base-s0", Branch(at="cycle=1", changes={"training.lr": 0.03})
    )
    work(settings)
    assert [t.result["steps_spent"] for t in read(settings).controls if t.arm == late.arm] == [4, 4]


def test_a_slot_of_the_search_is_branched_beside_itself(tmp_path: Path) -> None:
    """The trunk is an arm too, whose states are those of the slot; no rule is made of it, for it was chosen by its
    result, nor is a longer branch compared with what was trained for less."""
    settings = create(tmp_path, slots=1)
    work(settings)
    storage = open_storage(settings.storage_url)
    done = branch_study(
        storage, "tiny", settings, "search-0", Branch(at="4ep", changes={"training.total": "5ep"})
    )
    trunk, arm = done.section.arms(STUDY.base)
    assert (trunk.name, done.section.seeds, arm.against) == ("search-0", (0,), ())
    work(settings)
    record = read(settings)
    spent = {t.arm: t.result["steps_spent"] for t in record.of("branches")}
    assert spent == {"search-0": 0, arm.name: 2}  # one epoch
    assert not [rule for rule in record.spec.applied_rules if rule.arm in (trunk.name, arm.name)]


def test_a_study_with_branches_has_their_code_too(tmp_path: Path) -> None:
    """What a branch runs that the study did not is written down with it, and its workers do not refuse it."""
    settings = create(tmp_path, slots=1)
    storage = open_storage(settings.storage_url)
    before = read(settings).facts["code"]
    branch_study(
        storage, "tiny", settings, "base-s0", Branch(at="cycle=1", changes={"method.losses": "overlap"})
    )
    record = read(settings)
    check_code(record)
    assert record.facts["code"] == before
    new = record.facts["code_with_branches"]["modules"].keys() - before["modules"].keys()
    assert any("losses" in name for name in new)
    stored.write_code(storage, "tiny", {"modules": {}, "versions": {}})
    with pytest.raises(StudyError, match="is new to it"):
        check_code(read(settings))


@pytest.mark.parametrize(
    ("slot", "branch", "error", "words"),
    [
        ("0", SLOWER, StudyError, "not drawn yet"),
        ("nobody-s0", SLOWER, StudyError, "no slot"),
        ("base-s0", Branch(at="cycle=2"), SpecError, "ends cycles 1 to 1"),
        ("base-s0", Branch(at="3ep", changes={"training.total": "3ep"}), SpecError, "before the end"),
        ("base-s0", Branch(at="1ep", changes={"model.width": 3}), SpecError, "cannot change model.width"),
        ("standard-s0", Branch(at="cycle=1"), SpecError, "has no cycles"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    tmp_path: Path, slot: str, branch: Branch, error: type[ReprtuneError], words: str
) -> None:
    """By a sentence; the study is as it was."""
    settings = create(tmp_path, slots=1)
    storage = open_storage(settings.storage_url)
    before = read(settings)
    with pytest.raises(error, match=words):
        branch_study(storage, "tiny", settings, slot, branch)
    after = read(settings)
    assert (after.spec, len(after.everything)) == (before.spec, len(before.everything))


def test_a_branch_has_no_branches_and_more_seeds_by_extend(tmp_path: Path) -> None:
    """Its trunk has; other seeds than it has come by `study extend`."""
    settings = create(tmp_path, slots=1)
    storage = open_storage(settings.storage_url)
    branch_study(storage, "tiny", settings, "base-s0", SLOWER, "slower")
    with pytest.raises(StudyError, match="is a branch itself"):
        branch_study(storage, "tiny", settings, "slower-s0", Branch(at="3ep"))
    with pytest.raises(StudyError, match="study extend tiny --section branches"):
        branch_study(storage, "tiny", settings, "base-s0", SLOWER, seeds=(5,))
    assert extend_study(storage, "tiny", 1, "branches").n_new == 1
