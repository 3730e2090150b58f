"""A study of a person's own code: the digest is stored with it, and workers hold to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reprtune.errors import DataError, ModelError, StudyError
from reprtune.record.codes import of_study
from reprtune.spec.edit import changed
from reprtune.spec.study import Arm, StudySpec
from reprtune.study.create import find_user_code
from reprtune.study.sameness import check_user_code
from reprtune.training.platform import user_code
from tests.factories import make_study
from tests.flat import with_fields
from tests.tiny_study import STUDY
from tests.training.own_code import Folder, folder
from tests.work.tiny_worker import create, make_worker, read, work

__all__ = ["folder"]

NET = """from torch import nn

def make(c, size, n):
    return nn.Sequential(
        nn.Conv2d(c, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n)
    )
"""
NAME = "python:nets:make"
BASE = replace(STUDY.base, model=replace(STUDY.base.model, name=NAME, width=None))
ARMS = (Arm(name="base"),)


def test_a_study_runs_on_its_own_code_and_refuses_other(folder: Folder, tmp_path: Path) -> None:
    """The digest is stored; the same code trains; changed code is refused before a slot is taken, unless it is
    accepted: then attempts would say so."""
    folder.write("nets.py", NET)
    settings = create(tmp_path, base=BASE, controls=ARMS, slots=1, control_seeds=(0,))
    digest = user_code.load("nets:make", ModelError).digest
    assert read(settings).facts["user_code"] == {NAME: digest}
    study = work(settings)
    assert study.pending() == 0 and study.counts()["complete"] == 1
    assert [t.outcome for t in study.controls] == ["complete"]
    folder.forget()
    folder.write("nets.py", NET.replace("nn.ReLU()", "nn.GELU()"))
    with pytest.raises(
        StudyError, match=rf"code of {NAME} here is not what .*'tiny'.*not {digest[:12]}"
    ) as error:
        make_worker(settings)
    assert str(folder.path / "nets.py") in error.value.message and "Put the files back" in str(
        error.value.hint
    )
    assert len(read(settings).trials) == len(study.trials)
    worker = make_worker(settings, accept_code=True)
    worker.storage.engine.dispose()
    assert study.complete()[0].codes == (of_study(study),) != (worker.context.code,)


def test_a_worker_without_the_code_says_so(folder: Folder) -> None:
    """Started in another folder, for instance."""
    study = replace(make_study(1), facts={"user_code": {NAME: "0" * 64}})
    with pytest.raises(StudyError, match=rf"{NAME}: there is no module 'nets' in {folder.path}"):
        check_user_code(study)


def test_a_study_without_own_code_has_nothing_to_check() -> None:
    """Also one that was stored before digests of code were."""
    assert find_user_code(STUDY) == {}
    check_user_code(make_study(1))


def test_every_factory_a_study_may_use_is_found(folder: Folder) -> None:
    """Of the base and of a control, networks and data sets alike; sorted by name."""
    folder.write("nets.py", NET)
    folder.write("sets.py", "def load(data_dir): pass\n")
    arms = (Arm(name="mine", changes={"model": {"name": NAME}}),)
    task = changed(STUDY.base, {"task": {"dataset": "python:sets:load"}})
    spec: StudySpec = with_fields(STUDY, base=task, controls=arms)
    assert find_user_code(spec) == {
        NAME: user_code.load("nets:make", ModelError).digest,
        "python:sets:load": user_code.load("sets:load", DataError).digest,
    }
