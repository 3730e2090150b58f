"""A scheduler that is about to take the machine away: workers save, give their slots back and leave."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from optuna.trial import TrialState

from reprtune.record.trials import outcome
from reprtune.spec.edit import changed
from tests.command import Command
from tests.tiny_study import STUDY
from tests.work.test_launch import FAST, FITTING, finish, running, wait_for
from tests.work.tiny_worker import create

SECONDS = 30.0  # that schedulers leave at least; on an idle machine it takes one or two


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with closing(Command(tmp_path / "runs", {**FAST, "MLFLOW_TRACKING_URI": "none"})) as command:
        yield command


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        (signal.SIGTERM, False),
        pytest.param(signal.SIGUSR1, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.slow),  # no other rule
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, False, marks=pytest.mark.slow),
    ],
)
def test_a_worker_leaves_in_time_and_loses_nothing(
    command: Command, number: signal.Signals, to_all: bool
) -> None:
    """In the middle of a segment of minutes, whoever of the run is told: the slot waits again with its parameters, and
    the state in which it was left is there."""
    base = changed(STUDY.base, {"training.total": "20000ep"})

    create(command.runs, slots=1, controls=(), space=FITTING, base=base)
    process = command.start("study", "run", "tiny")
    wait_for(lambda: [t for t in running(command) if t.user_attrs.get("progress", {}).get("step")])
    begun = time.monotonic()
    (os.killpg if to_all else os.kill)(process.pid, number)
    said = finish(process, 130)
    assert time.monotonic() - begun < SECONDS
    assert "the workers save where they stand" in said
    (waiting,) = [t for t in command.trials("tiny") if t.state == TrialState.WAITING]
    (left,) = [t for t in command.trials("tiny") if outcome(t) == "interrupted"]
    assert waiting.params == left.params and len(left.params) == 4
    steps = left.user_attrs["result"]["steps_spent"]
    assert steps > 0 and list((command.runs / "states").rglob("*.state"))
