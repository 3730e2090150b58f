"""What `train` says while it trains, and `study status`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards.live import StudyProgress, TrialProgress
from dashboards.next_step import progress
from dashboards.terminal import next_step, status
from reprtune.history import History, Point
from reprtune.record.outcomes import Outcome
from reprtune.work.process import WorkerMessage
from tests.factories import make_study
from tests.flat import with_attempts


def test_every_evaluation_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a slow trial, where a drop follows more than a second after the last line."""
    clock = iter(range(10, 1000, 10))
    monkeypatch.setattr("dashboards.live.time.monotonic", lambda: next(clock))
    progress = TrialProgress()
    for step, kind in ((4, "segment"), (4, "event"), (8, "segment"), (8, "event"), (12, "segment")):
        point = Point(
            step=step, phase="full", cycle=0, lr=0.1, train_loss=1.0, val_loss=1.0, val_error=0.5,
            gflops=1.0, seconds=1.0, time=0.0,
        )  # fmt: skip
        progress(History(total_steps=12, steps_per_epoch=4, points=(point,)), kind)
    progress.close()
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == [
        "step 4/12 (epoch 1.0)", "step 8/12 (epoch 2.0)", "step 12/12 (epoch 3.0)",
    ]  # fmt: skip


def test_a_status_ends_with_the_command_for_the_next_step() -> None:
    """The report's own; none while somebody is at work, who must not be joined by mistake."""
    study = make_study(4, outcomes=("complete",), extras=())
    assert next_step(study) == f"  next: {progress(study).command}" != "  next: "
    busy = with_attempts(study, trials=(*study.trials[1:], replace(study.trials[0], outcome="running")))
    assert next_step(busy) == ""


def test_a_control_is_named_as_other_commands_take_it() -> None:
    """Arm and seed, not its place in the queue."""
    study = make_study(4, outcomes=("complete",), extras=())
    control = replace(study.controls[0], outcome="running", lease={"host": "h", "device": "cpu"})
    said = status(with_attempts(study, controls=(control, *study.controls[1:])))
    assert f"running:  slot {control.arm}-s{control.seed} on h, cpu" in said


def test_a_repaired_error_is_told_no_more() -> None:
    """The status names an error as long as it counts; a repaired attempt's cause is gone."""
    study = make_study(4, outcomes=("complete",), extras=())
    failed = replace(study.controls[0], outcome=Outcome("error"), result={"error": "the disk is away"})
    rest = study.controls[1:]
    assert "error: slot standard-s0: the disk is away" in status(
        with_attempts(study, controls=(failed, *rest))
    )
    repaired = (replace(failed, repaired=True), *study.controls)
    assert "the disk is away" not in status(with_attempts(study, controls=repaired))


def test_a_failed_slot_ends_its_line_with_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The validation error at which it failed would look like part of the message."""
    shown = StudyProgress(0, 2)
    failed = WorkerMessage(
        kind="end", title="slot 0", outcome="error", error="the disk is away", val_error=0.5
    )
    shown(0, replace(failed, finished=1, slots=2))
    shown(
        0, WorkerMessage(kind="end", title="slot 1", outcome="complete", val_error=0.5, finished=2, slots=2)
    )
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] slot 0: error: the disk is away",
        "[2/2] slot 1: complete, validation error 50.00 %",
    ]


def test_slots_are_counted_over_all_who_work_on_the_study(capsys: pytest.CaptureFixture[str]) -> None:
    """As the launcher read them last: three have ended elsewhere meanwhile; without a database nothing is counted."""
    shown = StudyProgress(0, 8)
    end = WorkerMessage(kind="end", title="slot 4", outcome="complete", val_error=0.5)
    shown(0, replace(end, finished=4, slots=8))
    shown(0, end)
    shown.close()
    assert [line.split("slot")[0] for line in capsys.readouterr().err.splitlines()] == ["[4/8] ", ""]


def test_errors_that_are_not_shown_are_counted() -> None:
    """The last three are told; of all others only how many."""
    said = status(make_study(5, outcomes=("error",), extras=()))
    assert "errors:   2 before these" in said and said.count("  error: slot") == 3
    assert "before these" not in status(make_study(3, outcomes=("error",), extras=()))


def test_a_best_setting_that_was_drawn_twice_rests_on_all_its_seeds() -> None:
    """As the report says it."""
    record = make_study(3, outcomes=("complete",), extras=())
    first, again, other = record.trials
    values = {"val_error": 0.01, "train_gflops": 1.0}
    trials = (
        replace(first, values=values),
        replace(again, values=values, params=first.params, repeats=0, seed=1_000_000),
        replace(other, values={"val_error": 0.5, "train_gflops": 1.0}),
    )
    assert "mean of 2 seeds, not confirmed" in status(with_attempts(record, trials=trials))
    assert "one seed, not confirmed" in status(record)
