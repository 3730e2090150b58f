"""A study of a person's own, in one spelling with their networks, data sets and parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprtune.errors import SpecError
from studies.load import load
from tests.conftest import ROOT

TEXT = "from dataclasses import replace\nimport aside\nfrom studies.smoke import STUDY as OURS\n"
TEXT += "STUDY = replace(OURS, name=aside.NAME)\nOTHER = replace(OURS, name='other')\nNONE = 3\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder has a package `lab` with a study and, beside the file, a module that it imports."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "my-question.py").write_text(TEXT)
    (tmp_path / "lab" / "aside.py").write_text("NAME = 'from-file'\n")
    (tmp_path / "lab" / "questions.py").write_text(TEXT)
    (tmp_path / "aside.py").write_text("NAME = 'from-module'\n")
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("aside", "lab", "lab.questions"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("lab/my-question.py", "from-file"),
        ("python:lab/my-question.py:STUDY", "from-file"),
        ("python:lab/my-question.py:OTHER", "other"),
        ("python:lab.questions:STUDY", "from-module"),
        ("python:lab.questions:OTHER", "other"),
    ],
)
def test_a_study_is_found_in_a_file_or_module(name: str, found: str) -> None:
    """A path alone means its `STUDY`. What a file imports is beside it first, what a module imports in the
    current folder; the path of modules is as before."""
    before = list(sys.path)
    assert load(name).name == found
    assert load(str(Path.cwd() / name) if not name.startswith("python:") else name).name == found
    assert sys.path == before


def test_a_study_that_was_edited_is_read_again() -> None:
    """Within one process, as a notebook does."""
    Path("q.py").write_text(TEXT.replace("aside.NAME", "'one'"))
    assert load("q.py").name == "one"
    Path("q.py").write_text(TEXT.replace("aside.NAME", "'another'"))
    assert load("q.py").name == "another"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("lab/absent.py", r"^lab/absent\.py: there is no file .*/lab/absent\.py", "by its path"),
        ("python:lab/absent.py:STUDY", "^python:lab/absent.py:STUDY: there is no file", "by its path"),
        ("python:lab.absent:STUDY", r"there is no module 'lab\.absent'", "current folder"),
        ("python:lab.questions:NONE", "holds no NONE of the type StudySpec", "repr_ablation.py"),
        ("python:lab/my-question.py:ABSENT", "holds no ABSENT of the type StudySpec", "repr_ablation.py"),
        ("python:lab.questions", "must name a module or a file", "python:FILE.py:NAME"),
        ("python:lab/my-question.py", "must name a module or a file", "python:FILE.py:NAME"),
    ],
)
def test_what_is_no_study_is_named_with_the_way_on(name: str, message: str, hint: str) -> None:
    """A broken rule of the specification, whatever went wrong."""
    with pytest.raises(SpecError, match=message) as error:
        load(name)
    assert hint in str(error.value.hint)


def test_a_broken_rule_in_a_study_goes_through() -> None:
    """As the study said it."""
    Path("q.py").write_text(f"{TEXT}replace(OURS, sections=(replace(OURS.search, slots=-1),))\n")
    with pytest.raises(SpecError, match=r"^slots "):
        load("q.py")


@pytest.mark.parametrize(
    ("field", "instead"),
    [
        ("space={}", r"Search(space=...)"),
        ("objectives=('val_error',)", r"Search(objectives=...)"),
        ("sampler='tpe'", r"Search(sampler=...)"),
        ("stop='none'", r"Search(stop=...)"),
        ("slots=32", r"Search(slots=...)"),
        ("seeds=3", r"Search(seeds=...)"),
        ("max_seconds=60", r"Search(max_seconds=...)"),
        ("max_gflops=60", r"Search(max_gflops=...)"),
        ("seed=1", r"Search(seed=...)"),
        ("controls=()", 'Arms(name="controls", design=[Arm(...), ...])'),
        ("control_seeds=(0, 1)", 'Arms(name="controls", seeds=...)'),
    ],
)
def test_a_study_from_before_there_were_sections_is_told_where_its_fields_are(
    field: str, instead: str
) -> None:
    """In the file, and in a copy of a study of ours with a field changed; the page that is named shows both forms."""
    old = f"from reprtune.spec.study import StudySpec\nSTUDY = StudySpec(name='q', {field})\n"
    for text in (old, f"{TEXT}STUDY = replace(OURS, {field})\n"):
        Path("q.py").write_text(text)
        with pytest.raises(SpecError) as error:
            load("q.py")
        word = field.partition("=")[0]
        assert error.value.message == (
            f"q.py: StudySpec has no field {word} any more: write {instead} in its sections."
        )
        assert "docs/studies.md" in str(error.value.hint)
    assert "\n## Sections\n" in (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def test_another_wrong_argument_is_told_as_python_says_it() -> None:
    """Only what studies once had is explained."""
    Path("q.py").write_text(f"{TEXT}STUDY = replace(OURS, colour='red')\n")
    with pytest.raises(SpecError, match=r"TypeError: .*unexpected keyword argument 'colour'"):
        load("q.py")
