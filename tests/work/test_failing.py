"""Trainings that fail or stand still in the workers of a launcher: real processes, and what a person is told."""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reprtune.errors import ReprtuneError
from reprtune.settings import Settings
from reprtune.spec.space import Choice
from reprtune.tracking.journal import Journal
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.work.launch import Launcher, Summary
from tests.command import Command
from tests.work.queueing import end, take
from tests.work.tiny_worker import create, queues_of, read

FAULT = "TESTS_FAULT"  # what goes wrong in the workers of a launcher in this process
CRITERIA = {"method.criterion": Choice(options=("l2", "random", "ortho", "l1"))}


class FromHere(Settings):
    """Settings that make a worker import this module."""


def fail(*_: Any) -> None:
    """Where a cycle drops filters."""
    raise RuntimeError("a kernel is missing")


def stand_still(networks: TrialNetworks, *event: Any) -> None:
    """The same, for the first process that comes there, and for ever."""
    marker = Path(os.environ[f"{FAULT}_MARKER"])
    if not marker.exists():
        marker.touch()
        time.sleep(3600)
    real(networks, *event)


real = TrialNetworks.apply_event
if (fault := os.environ.get(FAULT)) and multiprocessing.current_process().name != "MainProcess":
    TrialNetworks.apply_event = {"fail": fail, "stand still": stand_still}[fault]  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", "15")
    monkeypatch.setenv(f"{FAULT}_MARKER", str(tmp_path / "stood-still"))


def run(settings: Settings, said: list[str]) -> Summary:
    launcher = Launcher(
        settings=FromHere(**vars(settings)),
        name="tiny",
        n_workers=1,
        n_trials=None,
        draw=str,
        observe=lambda *_: None,
        say=said.append,
    )
    return launcher.run()


@pytest.mark.slow  # without processes: test_replacing.py
def test_where_everything_fails_three_slots_are_spent_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are for a machine that can train them; the run is an error that says why and what to do."""
    monkeypatch.setenv(FAULT, "fail")
    settings, said = create(tmp_path, slots=10, controls=(), space=CRITERIA), list[str]()
    with pytest.raises(ReprtuneError, match="a kernel is missing; 7 slots are left") as error:
        run(settings, said)
    assert "study repair tiny" in str(error.value)
    (sentence,) = [sentence for sentence in said if sentence.startswith("Worker")]
    assert "3 slots in a row failed" in sentence and sentence.endswith("No other takes its place.")
    study = read(settings)
    assert [t.outcome for t in study.trials if t.is_final] == ["error"] * 3 and study.pending() == 7


def test_a_training_that_stands_still_is_ended_and_its_slot_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """While its heart beats. The attempt says for how long and in which line, its stack is on stderr and beside its
    run; another process takes the slot up where its last state is."""
    monkeypatch.setenv(FAULT, "stand still")
    monkeypatch.setenv("REPRTUNE_HANG_SECONDS", "3")
    settings, said = create(tmp_path, slots=1, controls=(), space=CRITERIA), list[str]()
    summary = run(settings, said)
    hung, done = summary.study.trials
    assert (hung.outcome, done.outcome) == ("hung", "complete") and done.params == hung.params
    assert "no progress for" in hung.result["error"] and "stand_still" in hung.result["error"]
    assert 0 < done.result["steps_spent"] < done.result["steps_alone"]
    assert (
        "stand_still"
        in Journal(settings.journal_dir, "tiny").artifact_path("search-0000", "stack.txt").read_text()
    )
    assert "stand_still" in capfd.readouterr().err
    (sentence,) = [sentence for sentence in said if sentence.startswith("Worker")]
    assert "slot 0 stood still: no progress for" in sentence and "its slot is queued again" in sentence


@pytest.mark.parametrize("outcome", ["complete", "error"])
def test_a_run_is_no_success_while_slots_ended_in_errors(tmp_path: Path, outcome: str) -> None:
    """Whoever trained them, and when: its exit code says so, and which they are, why, and how they are queued again."""
    settings = create(tmp_path, slots=2, controls=(), space=CRITERIA)
    search = next(queue for queue in queues_of(settings) if queue.section.is_drawn)
    end(search, take(search))
    second = take(search)
    end(search, second, outcome)
    with closing(Command(tmp_path, {"MLFLOW_TRACKING_URI": "none"})) as command:
        said = command.quick("study", "run", "tiny", code=1 if outcome == "error" else 0)
    assert ("1 of 2 slots of 'tiny' ended in errors: 1; the last:" in said.stderr) == (outcome == "error")
    assert ("study repair tiny" in said.stderr) == (outcome == "error")
