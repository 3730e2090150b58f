"""What `import reprtune` offers beside the values: lengths, and the calls that train, store and read.

tests/test_docs.py runs docs/notebook.md, which makes a study with them, from the first line to the last.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

import reprtune
from dashboards.report import write_report
from reprtune.errors import SpecError, StudyError
from tests.tiny_study import STUDY

PLACES = {"tracking_uri": "none", "device": "cpu"}


def test_lengths_are_those_that_text_says() -> None:
    """`epochs(20)` is "20ep" and `steps(4000)` "4000it"; a part of an epoch is one, too."""
    parse = reprtune.Duration.parse
    assert reprtune.epochs(20) == parse("20ep") and reprtune.steps(4000) == parse("4000it")
    assert reprtune.epochs(2.5) == parse("2.5ep")
    assert reprtune.epochs(2.5).steps(steps_per_epoch=10) == 25


@pytest.mark.parametrize("length", [lambda: reprtune.epochs(-1), lambda: reprtune.epochs(True)])
def test_what_is_no_length_is_named(length: object) -> None:
    """The name of the call, and the rule."""
    with pytest.raises(SpecError, match=r"^epochs must be a number of epochs"):
        length()  # type: ignore[operator]
    with pytest.raises(SpecError, match=r"^steps must be a whole number of steps, but got '1.5it'"):
        reprtune.steps(1.5)  # type: ignore[arg-type]


def test_a_trial_gives_its_history_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """Two steps for each of four epochs. A second call finds it done, trains nothing and says the same."""
    first = reprtune.run_trial(STUDY.base, runs=tmp_path, test=True, **PLACES)
    assert (first["outcome"], first["steps"], first["steps_spent"]) == ("complete", 8, 8)
    assert isinstance(first["history"], reprtune.History)
    assert first["history"].points[-1].val_error == first["val_error"]
    assert 0 <= first["test_error"] <= 1
    second = reprtune.run_trial(STUDY.base, runs=tmp_path, **PLACES)
    assert (second["steps_spent"], second["history"]) == (0, first["history"])
    assert "test_error" not in second


def test_a_study_is_created_read_and_listed_as_its_report_does(tmp_path: Path) -> None:
    """Creating it again changes nothing. The table has the rows and columns of trials.csv, and plain values only."""
    made = reprtune.create_study(STUDY, runs=tmp_path, **PLACES)
    assert reprtune.create_study(STUDY, runs=tmp_path, **PLACES) == made
    assert made == reprtune.read_study("tiny", runs=tmp_path) and made.spec == STUDY
    assert made.pending() == STUDY.slots + 4  # two arms with two seeds
    rows = reprtune.trials_table(made)
    page = write_report(made, tmp_path / "report")
    written = list(csv.DictReader(io.StringIO((page.parent / "trials.csv").read_text())))
    assert [list(row) for row in rows] == [list(row) for row in written]
    assert [row["outcome"] for row in rows] == [row["outcome"] for row in written]
    assert {type(value) for row in rows for value in row.values()} <= {str, int, float, bool, type(None)}


@pytest.mark.parametrize("look", [reprtune.read_study, reprtune.run_study])
def test_a_study_that_is_not_there_makes_nothing(tmp_path: Path, look: object) -> None:
    """No storage, no folder; the message says how to mend it."""
    with pytest.raises(
        StudyError, match=r"^There is no study 'tiny': the storage sqlite:.* is not there\."
    ) as error:
        look("tiny", runs=tmp_path / "runs")  # type: ignore[operator]
    assert "runs=" in str(error.value.hint)
    assert not (tmp_path / "runs").exists()


def test_what_is_no_place_and_no_number_of_workers_is_named(tmp_path: Path) -> None:
    """The nearest place is offered; a broken rule of the study is said before anything is made."""
    with pytest.raises(SpecError, match=r"^There is no place 'state_dir'\.") as error:
        reprtune.create_study(STUDY, runs=tmp_path / "runs", state_dir="s")
    assert "Did you mean states_dir?" in str(error.value.hint)
    with pytest.raises(SpecError, match=r"^workers must be at least 1, but got 0\."):
        reprtune.run_study("tiny", runs=tmp_path / "runs", workers=0)
    with pytest.raises(SpecError, match=r"training\.total"):
        reprtune.create_study(
            replace(STUDY, base=replace(STUDY.base, training=reprtune.TrainingSpec(total=reprtune.epochs(1)))),
            runs=tmp_path / "runs", **PLACES,
        )  # fmt: skip
    assert not (tmp_path / "runs" / "reprtune.db").exists()
