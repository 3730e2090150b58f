"""What only a branch needs of a person's own, parts and teachers, is held to like what the study was created with."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprtune.errors import ModelError, StudyError
from reprtune.record.codes import of_study
from reprtune.record.database import open_storage
from reprtune.spec.branch import Branch
from reprtune.spec.edit import changed
from reprtune.study.branch import branch_study
from reprtune.study.sameness import check_networks, check_user_code
from reprtune.training.platform import user_code
from tests.study.test_begun_study import BASE, damage
from tests.training.ended import export
from tests.training.own_code import Folder, folder
from tests.training.tiny import finish
from tests.work.tiny_worker import create, make_worker, read, work

__all__ = ["folder"]

NAME = "python:mine.py:score"
SCORE = "def score(filters, context):\n    return {name: w.flatten(1).norm(dim=1) for name, w in filters.items()}\n"


def test_a_part_that_only_a_branch_uses_is_held_to(folder: Folder, tmp_path: Path) -> None:
    """Its digest is stored with the branch, beside the facts of the study, which stay; other code is refused before a
    slot is taken, and told of attempts where it is accepted."""
    folder.write("mine.py", SCORE)
    settings = create(tmp_path, slots=1, control_seeds=(0,))
    branch = Branch(at="cycle=1", changes={"method.criterion": NAME, "training.lr": 0.02})
    branch_study(open_storage(settings.storage_url), "tiny", settings, "base-s0", branch, "own")
    record = read(settings)
    assert record.facts["user_code"] == {}
    stored = record.facts["code_with_branches"]["user_code"]
    assert stored == {NAME: user_code.load("mine.py:score", ModelError).digest}
    record = work(settings)
    assert {t.codes for t in record.controls} == {(of_study(record),)}
    folder.forget()
    folder.write("mine.py", SCORE.replace("dim=1", "p=1, dim=1"))
    with pytest.raises(StudyError, match=rf"code of {NAME} here is not what"):
        make_worker(settings)
    storage, other = open_storage(settings.storage_url), Branch(at="cycle=1", changes={"training.lr": 0.03})
    with pytest.raises(StudyError, match=rf"code of {NAME} here is not what"):
        branch_study(storage, "tiny", settings, "base-s0", other)
    worker = make_worker(settings, accept_code=True)
    worker.storage.engine.dispose()
    assert worker.context.code != of_study(record)
    assert list(check_user_code(record, accept=True)) == [NAME]


def test_a_teacher_that_only_a_branch_imitates_is_held_to(tmp_path: Path) -> None:
    """By its content."""
    teacher = export(finish(changed(BASE, {"method": "standard"})), tmp_path / "teacher")
    settings = create(tmp_path / "runs", base=BASE, slots=1)
    changes = {"method.losses": "teacher", "method.teacher_folder": str(teacher)}
    branch = Branch(at="cycle=1", changes=changes)
    branch_study(open_storage(settings.storage_url), "tiny", settings, "base-s0", branch)
    assert read(settings).facts["teachers"] == {}
    check_networks(read(settings))
    damage(teacher)
    with pytest.raises(StudyError, match=r"network in .*teacher here is not the one that the study 'tiny'"):
        make_worker(settings)
