"""What `train` says while it trains."""

from __future__ import annotations

import pytest

from dashboards.terminal import TrialProgress
from reprtune.spec.history import History, Point


def test_every_evaluation_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a slow trial, where a drop follows more than a second after the last line."""
    clock = iter(range(10, 1000, 10))
    monkeypatch.setattr("dashboards.terminal.time.monotonic", lambda: next(clock))
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
