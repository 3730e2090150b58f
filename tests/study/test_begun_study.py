"""A study whose trials begin from another trial's network: what is stored of it, who is refused, what it counts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reprtune.analysis.controls import arm_summaries
from reprtune.errors import SpecError, StudyError
from reprtune.spec.edit import changed
from reprtune.spec.space import Choice
from reprtune.spec.study import Arm
from reprtune.study.create import find_teachers, find_weights
from reprtune.study.export import slot_network
from reprtune.study.recompute import recompute
from reprtune.study.sameness import check_networks
from reprtune.training.export.network import files
from reprtune.training.models.weights import content
from tests.factories import CONTROLS, make_study
from tests.flat import with_fields
from tests.tiny_study import STUDY
from tests.training import hand_trim
from tests.training.ended import EXAMPLE, export
from tests.training.tiny import finish
from tests.work.tiny_worker import create, make_worker, read, work

KEEP = {"conv1": [0, 2], "conv2": [1, 2, 3]}
BASE = changed(STUDY.base, {"model.width": 4})


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_trim.register(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The network of 8 steps, trimmed by hand to 2 and 3 filters."""
    run = finish(changed(BASE, {"method": "standard"}))
    (member,) = run.networks.members
    form = hand_trim.form(**KEEP)
    member.become(hand_trim.trimmed(member.model, form, EXAMPLE), form)
    return export(run, tmp_path / "first")


def damage(folder: Path) -> None:
    weights = torch.load(folder / "weights.pt", weights_only=True)
    weights["fc.bias"] += 1
    torch.save(weights, folder / "weights.pt")


def test_a_study_trains_on_and_is_recomputed_and_exported(folder: Path, tmp_path: Path) -> None:
    """Digest and steps are stored; every trial ends smaller than the specification says; the arm that begins there
    costs twice the steps of standard, which does not; a slot comes out again the same, and its export says both."""
    arms = (
        Arm(name="standard", changes={"method": "standard"}),
        Arm(name="more", changes={"method": "standard", "model.weights": str(folder)}),
    )
    settings = create(tmp_path / "runs", base=BASE, controls=arms, slots=1, control_seeds=(0,))
    digest, steps = content(str(folder))
    assert read(settings).facts["weights"] == {str(folder): {"digest": digest, "steps": steps}} and steps == 8
    study = work(settings)
    sizes = {str(t.arm): t.values and t.result["params"] for t in study.controls}
    trimmed = 2 * 9 + 3 * 2 * 9 + 2 * (2 + 3) + (3 + 1) * 10
    assert sizes["more"] == trimmed and sizes["standard"] == 4 * 9 + 4 * 4 * 9 + 2 * 8 + 5 * 10
    assert {a.arm: a.budget_factor for a in arm_summaries(study)} == {"standard": 1, "more": 2}
    assert recompute(settings, study, "more-s0", lambda *_: None).equal
    about = json.loads(files(slot_network(settings, study, "more-s0"))["description.json"])
    assert about["forms"] == [hand_trim.form(**KEEP)] and about["params"] == trimmed
    assert (about["history"]["steps"], about["history"]["steps_before"]) == (8, 8)


def test_a_worker_with_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    """Before a slot is taken: the digest, the folder, what to do; also where there is none any more."""
    base = changed(BASE, {"model.weights": str(folder)})
    settings = create(tmp_path / "runs", base=base, slots=1, controls=(), control_seeds=())
    study = work(settings)
    assert study.pending() == 0
    damage(folder)
    with pytest.raises(
        StudyError, match=r"network in .*first here is not the one that the study 'tiny'"
    ) as caught:
        make_worker(settings)
    assert "Put the folder there as it was" in str(caught.value.hint)
    with pytest.raises(StudyError, match="is not the one"):
        recompute(settings, study, "0", lambda *_: None)
    shutil.rmtree(folder)
    with pytest.raises(
        StudyError, match=r"The study 'tiny' needs a network: model\.weights must be a folder"
    ):
        check_networks(read(settings))


def test_a_worker_with_another_teacher_is_refused(tmp_path: Path) -> None:
    """The network that an arm imitates, by its content: its states would be others than those of the study."""
    teacher = export(finish(changed(BASE, {"method": "standard"})), tmp_path / "teacher")
    taught = {"method": "standard", "method.losses": "teacher", "method.teacher_folder": str(teacher)}
    arms = (Arm(name="standard", changes={"method": "standard"}), Arm(name="taught", changes=taught))
    settings = create(tmp_path / "runs", base=BASE, controls=arms, slots=1, control_seeds=(0,))
    stored = read(settings).facts["teachers"]
    assert stored == find_teachers(read(settings).spec) and list(stored) == [str(teacher)]
    make_worker(settings)
    damage(teacher)
    with pytest.raises(StudyError, match=r"network in .*teacher here is not the one that the study 'tiny'"):
        make_worker(settings)
    shutil.rmtree(teacher)
    with pytest.raises(StudyError, match=r"needs a network: method\.teacher_folder must be a folder"):
        check_networks(read(settings))
    with pytest.raises(SpecError, match=r"method\.teacher_folder must be a folder"):
        find_teachers(read(settings).spec)


def test_a_moved_network_is_another_study_but_a_copy_at_its_place_is_not(folder: Path) -> None:
    """What is stored names the folder; what lies there is told by its content."""
    study = make_study(1)
    fact = {str(folder): dict(zip(("digest", "steps"), content(str(folder)), strict=True))}
    check_networks(replace(study, facts={**study.facts, "weights": fact}))
    about = folder / "description.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "what": "other words"}))
    check_networks(replace(study, facts={**study.facts, "weights": fact}))
    check_networks(study)  # of before there was such a fact
    damage(folder)
    with pytest.raises(StudyError):
        check_networks(replace(study, facts={**study.facts, "weights": fact}))


def test_every_network_a_study_may_begin_from_is_found(folder: Path, tmp_path: Path) -> None:
    """Of the base, of an arm and of a choice, each once; one that is none is refused when the study is created."""
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    third = Path(shutil.copytree(folder, tmp_path / "third"))
    spec = with_fields(
        STUDY,
        base=changed(BASE, {"model.weights": str(folder)}),
        controls=(Arm(name="other", changes={"model.weights": str(other)}),),
        space={"model.weights": Choice(options=(str(folder), str(third)))},
    )
    assert set(find_weights(spec)) == {str(folder), str(other), str(third)}
    shutil.rmtree(third)
    with pytest.raises(SpecError, match=rf"model\.weights must be .* {third} has no description\.json"):
        find_weights(spec)
    assert find_weights(STUDY) == {}


def test_the_budget_factor_counts_what_was_trained_before() -> None:
    """Half as many steps again where the network begun from took half of standard's."""
    arms = (*CONTROLS[:1], Arm(name="on", changes={"model.weights": "net"}))
    study = make_study(2, outcomes=("complete",), extras=(), controls=arms)
    full = next(t for t in study.controls if t.arm == "standard").last_step
    facts = {**study.facts, "weights": {"net": {"digest": "d", "steps": full // 2}}}
    found = {arm.arm: arm.budget_factor for arm in arm_summaries(replace(study, facts=facts))}
    assert found == {"standard": 1, "on": 1.5}
