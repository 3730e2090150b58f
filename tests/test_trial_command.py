"""`trial export` and `train --export`: a trained network as files, or a sentence that says why not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.shell_completion import ShellComplete

import cli
from reprtune.errors import StudyError
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.slots import by_name, find_slot, slot_key, slot_name
from reprtune.record.storage import read_study
from reprtune.settings import Settings
from reprtune.study.export import slot_network
from reprtune.tracking.journal import Journal
from studies.smoke import STUDY
from tests.command import Command
from tests.flat import with_attempts
from tests.work.tiny_worker import create

FILES = ["description.json", "load.py", "network.pt2", "weights.pt"]
CONTROL = "standard-s1"


@pytest.fixture(scope="module")
def record(finished: Command) -> StudyRecord:
    storage = open_storage(finished.settings.storage_url)
    try:
        return read_study(storage, STUDY.name, histories=False)
    finally:
        storage.engine.dispose()


def export(command: Command, slot: str, folder: Path, *more: str, code: int = 0) -> str:
    result = command.quick("trial", "export", STUDY.name, slot, "--to", str(folder), *more, code=code)
    return result.stdout if code == 0 else result.stderr


@pytest.mark.parametrize("name", [CONTROL, "complete", "control-random-drop-s0"])
def test_an_exported_slot_is_what_mlflow_has(
    finished: Command, record: StudyRecord, tmp_path: Path, name: str
) -> None:
    """The same description, and the same weights bit for bit, as the worker gave to MLflow."""
    slot = slot_name(record.complete()[0]) if name == "complete" else name
    assert export(finished, slot, tmp_path / "n") == f"{tmp_path / 'n'}\n"
    assert sorted(p.name for p in (tmp_path / "n").iterdir()) == FILES
    key = slot_key(find_slot(record, slot))
    sent = Journal(finished.settings.journal_dir, STUDY.name).artifact_path(key, "network")
    assert (tmp_path / "n" / "description.json").read_text() == (sent / "description.json").read_text()
    ours, theirs = (torch.load(f / "weights.pt", weights_only=True) for f in (tmp_path / "n", sent))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_the_usual_place_and_a_second_time(finished: Command) -> None:
    """networks/STUDY/SLOT in the runs folder; again only with --force."""
    said = finished.quick("trial", "export", STUDY.name, f"control-{CONTROL}").stdout
    folder = finished.runs / "networks" / STUDY.name / CONTROL
    assert Path(said.strip()) == folder and sorted(p.name for p in folder.iterdir()) == FILES
    again = finished.quick("trial", "export", STUDY.name, CONTROL, code=1).stderr
    assert "is there already" in again and "--force" in again
    assert finished.quick("trial", "export", STUDY.name, CONTROL, "--force").stdout == said


def test_a_trial_that_was_stopped_gives_the_network_it_had(
    finished: Command, record: StudyRecord, tmp_path: Path
) -> None:
    """And says at which step that was."""
    stopped = [t for t in record.trials if t.outcome == "stopped"]
    if not stopped:
        pytest.skip("this time no trial was stopped early")
    result = finished.quick("trial", "export", STUDY.name, str(stopped[0].slot), "--to", str(tmp_path / "n"))
    about = json.loads((tmp_path / "n" / "description.json").read_text())
    steps = stopped[0].result["steps_alone"]
    assert about["outcome"] == "stopped" and about["history"]["steps"] == steps
    assert f"was stopped early: this is its network after {steps} steps" in result.stderr


def test_slots_are_completed(finished: Command) -> None:
    """Those that have a network, of the study that the line names."""

    def completions(*words: str) -> list[str]:
        completer = ShellComplete(cli.cli, {}, "cli.py", "_COMPLETE")
        where = ["--runs", str(finished.runs)]
        return [i.value for i in completer.get_completions(["trial", "export", *where, *words], "")]

    assert completions() == [STUDY.name]
    assert {CONTROL, "random-drop-s0"} < set(completions(STUDY.name))
    assert completions("no-such-study") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing", "0"], ["no study 'nothing'"]),
        (["tiny", "9"], ["no slot '9'", "0 to 3", "standard-s0"]),
        (["tiny", "standart-s0"], ["no slot 'standart-s0'", "Did you mean standard-s0?"]),
        (["tiny", "0"], ["Slot 0 of 'tiny' has no network", "waiting", "study status tiny"]),
    ],
)
def test_what_cannot_be_exported_is_said(command: Command, words: list[str], said: list[str]) -> None:
    """Exit code 1, and no folder."""
    create(command.runs)
    error = command.quick("trial", "export", *words, code=1).stderr
    assert all(part in error for part in said), error
    assert not (command.runs / "networks").exists()


@pytest.mark.parametrize("outcome", ["running", "diverged", "error", "out-of-memory", "lost", "interrupted"])
def test_outcomes_without_a_network(record: StudyRecord, tmp_path: Path, outcome: str) -> None:
    """Named as what they are."""
    trials = tuple(replace(t, outcome=outcome) for t in record.trials)
    with pytest.raises(StudyError, match=f"has no network to export: it is {outcome}"):
        slot_network(Settings(runs_dir=tmp_path), with_attempts(record, trials=trials), "0")


def test_a_state_that_is_gone(finished: Command, record: StudyRecord, tmp_path: Path) -> None:
    """Where it was looked for, and what to do; nothing is written."""
    shutil.copytree(finished.runs, tmp_path / "runs", ignore=shutil.ignore_patterns("mlflow*", "networks"))
    other = Command(tmp_path / "runs")
    for path in other.settings.states.glob("??/*.state"):
        path.unlink()
    said = other.quick("trial", "export", STUDY.name, CONTROL, code=1).stderr
    assert f"is not in {other.settings.states}" in said and "--states" in said and "MLflow" in said
    assert not (other.runs / "networks").exists()


def test_the_attempt_that_counts_stands_for_its_slot() -> None:
    """Not an earlier one that was lost, nor one that was drawn again."""

    def attempt(number: int, slot: int, outcome: str) -> TrialRecord:
        return TrialRecord(section="search", number=number, slot=slot, arm=None, seed=0, outcome=outcome)

    record = StudyRecord(
        spec=STUDY, digest="", facts={}, created=0, version="",
        attempts={"search": (attempt(0, 0, "complete"), attempt(1, 1, "lost"), attempt(2, 1, "running"), attempt(3, 0, "lost"))},
    )  # fmt: skip
    assert {name: trial.number for name, trial in by_name(record).items()} == {"0": 0, "1": 2}


def test_train_exports_and_refuses_first(command: Command, tmp_path: Path) -> None:
    """The folder is checked before training; the result names it; the description is of this trial."""
    folder = tmp_path / "network"
    words = ["train", "--method", "standard", "--total", "1ep", "--set", "task.train_images=64", "--json"]
    result = json.loads(command.quick(*words, "--export", str(folder)).stdout)
    assert result["network"] == str(folder) and sorted(p.name for p in folder.iterdir()) == FILES
    about = json.loads((folder / "description.json").read_text())
    assert about["val_error"] == result["val_error"] and about["spec"] == result["spec"]
    error = command.quick(*words, "--seed", "5", "--export", str(folder), code=1).stderr
    assert "is there already" in error and "step" not in error
    command.quick(*words, "--seed", "5", "--export", str(folder), "--force")
    assert json.loads((folder / "description.json").read_text())["seed"] == 5


def test_train_leaves_a_page(command: Command) -> None:
    """One for its settings, named in the result, with result, settings and figures; the same command replaces it."""
    words = [
        "train",
        "--total",
        "4ep",
        "--set",
        "task.train_images=128",
        "--set",
        "method.cycles=1",
        "--json",
    ]
    first, second = (json.loads(command.quick(*words).stdout) for _ in range(2))
    page = Path(first["page"])
    assert page == command.settings.runs_dir / "trained" / page.name == Path(second["page"])
    assert [p.name for p in page.parent.iterdir()] == [page.name]
    text = page.read_text()
    assert f"{100 * first['val_error']:.2f}\N{NO-BREAK SPACE}%" in text
    assert "<dt>method.criterion.kind</dt>" in text
    assert text.count('role="img"') == 2 and len(text) < 400_000
