"""A worker that is there for a while: it leaves at its time, and another goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from commands.until import moment
from reprtune.record.trials import outcome
from reprtune.spec.edit import changed
from reprtune.work.launch import Launcher
from tests.command import Command, used_up
from tests.postgres import PostgreSQL
from tests.tiny_study import STUDY
from tests.work.test_launch import finish, wait_for
from tests.work.tiny_worker import create

NOTHING_TRACKED = {"MLFLOW_TRACKING_URI": "none"}
NOW = datetime(2026, 3, 1, 20, 30, 15, tzinfo=timezone.utc)


@pytest.fixture
def machines(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[list[Command]]:
    """Two machines that share a database and a folder of states, and nothing else."""
    shared = {
        **NOTHING_TRACKED,
        "REPRTUNE_STORAGE": postgresql.new(),
        "REPRTUNE_STATES": str(tmp_path / "states"),
    }
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Command(tmp_path / name, shared))) for name in ("one", "two")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08:00", (2, 8, 0, 0)),  # has been today: tomorrow's
        ("23:59", (1, 23, 59, 0)),
        ("8:05", (2, 8, 5, 0)),
        ("90m", (1, 22, 0, 15)),
        ("2h30m", (1, 23, 0, 15)),
        ("1d", (2, 20, 30, 15)),
        ("45s", (1, 20, 31, 0)),
    ],
)
def test_a_time_is_the_next_of_the_clock_or_a_length_from_now(
    text: str, expected: tuple[int, int, int, int]
) -> None:
    """Day of the month, hour, minute and second, by hand."""
    found = moment(text, NOW)
    assert found is not None and (found.day, found.hour, found.minute, found.second) == expected


@pytest.mark.parametrize("text", ["", "8", "24:00", "08:60", "soon", "-1h", "1.5h", "m", "99999999999999d"])
def test_what_is_no_time_is_named_before_anything_begins(command: Command, text: str) -> None:
    """Exit code 2, with the forms that are understood."""
    said = command.quick("worker", "x", "--until", text, code=2).stderr
    assert "--until" in said and "90m" in said and not command.runs.exists()


def test_a_worker_leaves_at_its_time_and_its_slot_goes_on(tmp_path: Path) -> None:
    """In the middle of a trial: its state is saved, the slot waits again with what was drawn, nothing was lost, and
    nobody counts it as interrupted by a person."""
    base = changed(STUDY.base, {"training.total": "4000ep"})
    settings = create(tmp_path, slots=1, controls=(), base=base)
    said: list[str] = []

    def observe(_worker: int, what: Any) -> None:
        if what.kind == "progress":
            launcher.until = time.time()

    launcher = Launcher(
        settings=settings, name="tiny", n_workers=1, n_trials=None, draw=str, observe=observe, say=said.append,
        until=time.time() + 3600,
    )  # fmt: skip
    summary = launcher.run()
    assert not summary.interrupted and summary.pending == 1
    assert [line for line in said if "The time is up" in line]
    (waiting,) = [t for t in Command(tmp_path).trials("tiny") if t.state == TrialState.WAITING]
    assert waiting.params and any((tmp_path / "states").rglob("*.state"))
    assert outcome(waiting) == "waiting" and waiting.user_attrs["attempt"] == 1


def test_a_worker_needs_the_urls_and_the_states_alone(machines: list[Command]) -> None:
    """On another machine than the study was created on, with no file of the study: as many slots as it may begin, then
    exit code 0, with how many are left."""
    one, two = machines
    create(one.runs, storage=one.settings.storage, slots=2, controls=())
    said = two("worker", "tiny", "--trials", "1").stdout
    assert len(used_up(two.trials("tiny"))) == 1 and "1 slots are left" in said


def test_a_scheduler_may_repeat_itself(command: Command) -> None:
    """SIGTERM again and again is still a request: the worker saves, gives its slot back, and ends with 130."""
    command.environment = NOTHING_TRACKED
    create(command.runs, slots=1, controls=(), base=changed(STUDY.base, {"training.total": "4000ep"}))
    process = command.start("worker", "tiny")
    wait_for(lambda: any((command.runs / "states").rglob("*.state")))
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    said = finish(process, 130)
    assert "Stopping: the workers save where they stand" in said
    assert sorted(outcome(t) for t in command.trials("tiny") if outcome(t) != "infeasible") == [
        "interrupted", "waiting",
    ]  # fmt: skip
