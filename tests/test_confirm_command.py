"""`study confirm` with real workers: interrupted, killed, repeated, extended; every run exactly once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from optuna.trial import FrozenTrial, TrialState

import cli
from reprtune.errors import SpecError
from reprtune.record.database import open_storage
from reprtune.record.trials import outcome
from reprtune.study.confirm import plan_confirmation
from tests.command import Command, used_up
from tests.factories import comparison
from tests.study.test_confirm import FITTING
from tests.work.test_launch import FAST, finish, wait_for
from tests.work.tiny_worker import create, read, work

CONFIRMATION = "tiny.confirmation"


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """A finished study of two slots and two controls."""
    settings = create(tmp_path / "runs", slots=2, space=FITTING, control_seeds=(0,))
    work(settings)
    with closing(Command(tmp_path / "runs", FAST)) as command:
        yield command


def runs(command: Command) -> list[FrozenTrial]:
    try:
        return command.trials(CONFIRMATION)
    except KeyError:  # not queued yet
        return []


@pytest.mark.slow  # half a minute of processes
def test_ctrl_c_and_again_and_again(command: Command) -> None:
    """Exit code 130 and nothing left running; the same command goes on; once more changes nothing; the report
    and the status then speak of test images."""
    process = command.start("study", "confirm", "tiny", "--top", "1", "--seeds", "4", "--workers", "2")
    wait_for(lambda: used_up(runs(command)))
    os.killpg(process.pid, signal.SIGINT)
    assert "tiny: standard, base, slot-" in finish(process, 130)
    assert not [t for t in runs(command) if t.state == TrialState.RUNNING]
    assert len(used_up(runs(command))) < 12
    said = command("study", "confirm", "tiny").stdout
    assert used_up(runs(command)) == list(range(12))
    assert "12 of 12 runs are finished" in said and "next: python cli.py study report tiny" in said
    before = [(t.number, t.user_attrs) for t in runs(command)]
    told = command.runs / "told.json"
    again = command.quick("study", "confirm", "tiny", "--notify", f"cat > {told}")
    assert "0 runs queued now" in again.stderr and [(t.number, t.user_attrs) for t in runs(command)] == before
    notice = json.loads(told.read_text())
    assert (notice["event"], notice["study"], notice["unconfirmed"]) == ("finished", "tiny", 0)
    assert "mean test error: " in command.quick("study", "status", "tiny").stdout
    page = Path(command.quick("study", "report", "tiny").stdout.strip()).read_text()
    assert "the best of the search, against standard: " in page and "4 fresh seeds" in page


@pytest.mark.parametrize("missing", ["data", "device"])
def test_nothing_is_queued_where_it_could_not_run(command: Command, missing: str) -> None:
    """Other data than the study's, or a device that is not there: that is said first, and no run waits afterwards."""
    words = ["study", "confirm", "tiny", "--top", "1", "--seeds", "1"]
    if missing == "device":
        said = command.quick(*words, "--device", "cuda:77", code=1).stderr
    else:
        storage = open_storage(command.settings.storage_url)
        study_id = storage.get_study_id_from_name("tiny")
        ours = storage.get_study_user_attrs(study_id)["reprtune"]
        facts = {**ours["facts"], "data_digest": "0" * 64}
        storage.set_study_user_attr(study_id, "reprtune", {**ours, "facts": facts})
        said = command.quick(*words, code=1).stderr
    assert {"device": "cuda:77", "data": "digits here are not those"}[missing] in said
    assert runs(command) == [] and read(command.settings).spec.confirmation is None


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(command: Command) -> None:
    """Its run is begun again, and every run has one end with a test error."""
    process = command.start("study", "confirm", "tiny", "--top", "1", "--seeds", "4")
    held = wait_for(
        lambda: [t for t in runs(command) if t.state == TrialState.RUNNING and t.user_attrs.get("lease")]
    )
    os.kill(int(held[0].user_attrs["lease"]["worker"].split(":")[1]), signal.SIGKILL)
    finish(process, 0)
    trials = runs(command)
    assert used_up(trials) == list(range(12))
    assert all("test_error" in t.user_attrs["result"] for t in trials if outcome(t) == "complete")


def test_an_unfinished_study_and_wrong_values_are_refused(tmp_path: Path) -> None:
    """In words, with exit codes 1 and 2; nothing is queued."""
    command = Command(tmp_path / "runs")
    said = command.quick("study", "confirm", "tiny", code=1).stderr
    assert "no study 'tiny'" in said and not command.runs.exists()
    create(command.runs)
    said = command.quick("study", "confirm", "tiny", code=1).stderr
    assert (
        "4 of 4 slots of controls and 4 of 4 slots of search are left" in said and "study resume tiny" in said
    )
    assert "x>=1" in command.quick("study", "confirm", "tiny", "--seeds", "0", code=2).stderr
    assert not runs(command)


def test_slots_are_completed_best_first(command: Command) -> None:
    """Of the study that the line names."""
    completer = ShellComplete(cli.cli, {}, "cli.py", "_COMPLETE")
    words = ["study", "confirm", "--runs", str(command.runs), "tiny", "--slot"]
    offered = [item.value for item in completer.get_completions(words, "")]
    trials = read(command.settings).trials
    errors = {str(t.slot): (t.values or {})["val_error"] for t in trials if t.outcome == "complete"}
    assert sorted(offered) == ["0", "1"] and errors[offered[0]] <= errors[offered[1]]


def test_leaders_of_a_study_without_a_search_are_refused() -> None:
    """Nothing is left out silently."""
    with pytest.raises(SpecError, match="'synthetic' has none"):
        plan_confirmation(comparison(), top=2)
