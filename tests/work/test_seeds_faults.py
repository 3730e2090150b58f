"""Workers with several seeds per trial, killed and stopped as machines and people do it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial

from reprtune.record.trials import outcome
from reprtune.spec.edit import changed
from reprtune.spec.space import FloatRange
from tests.command import Command
from tests.tiny_study import STUDY
from tests.work.test_launch import command, finish, running, wait_for
from tests.work.tiny_worker import create, read, work

__all__ = ["command"]  # the fixture
LONGER: dict[str, Any] = {
    "seeds": 3,
    "slots": 4,
    "controls": (),
    "base": changed(STUDY.base, {"training.total": "60ep"}),
    "space": {"training.lr": FloatRange(low=0.001, high=0.1, log=True)},
}


def in_a_later_seed(command: Command) -> Callable[[], FrozenTrial | None]:
    """A running trial that has finished its first seed and not its last."""
    return lambda: next((t for t in running(command) if "seed-0" in t.user_attrs), None)


@pytest.mark.slow
def test_kill_9_and_ctrl_c_between_seeds_lose_and_double_nothing(tmp_path: Path, command: Command) -> None:
    """Two workers, one of them killed after its trial's first seed; Ctrl-C in a later seed; then the rest: the
    same bits as a study that one worker ran undisturbed."""
    create(command.runs, **LONGER)
    process = command.start("study", "run", "tiny", "--workers", "2")
    killed = wait_for(in_a_later_seed(command))
    os.kill(int(killed.user_attrs["lease"]["worker"].split(":")[1]), signal.SIGKILL)
    wait_for(lambda: outcome(command.trials("tiny")[killed.number]) == "lost")
    wait_for(in_a_later_seed(command))
    os.killpg(process.pid, signal.SIGINT)
    finish(process, 130)
    assert not running(command)
    command("study", "resume", "tiny")
    study = read(command.settings)
    alone = work(create(tmp_path / "alone", **LONGER))
    assert study.pending() == 0 and study.counts()["complete"] == 4 and study.counts()["lost"] == 1
    for trial, other in zip(
        *(sorted(s.complete(), key=lambda t: t.slot) for s in (study, alone)), strict=True
    ):
        assert [r.seed for r in trial.runs] == [0, 1, 2] and trial.params == other.params
        ends = [[[p.val_loss for p in r.history.points] for r in t.runs if r.history] for t in (trial, other)]
        assert ends[0] == ends[1]
