"""A launcher whose workers lose their devices: real processes, a real database, a person's own network."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reprtune.errors import ReprtuneError
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.spec.space import Choice
from reprtune.spec.study import Arm
from reprtune.work.launch import Launcher, Summary
from tests.tiny_study import STUDY
from tests.training.broken_cuda import SAID, BrokenCuda
from tests.training.own_code import Folder, folder
from tests.work.tiny_worker import create, read

__all__ = ["folder"]

NETS = """
import multiprocessing
from pathlib import Path

from torch import Tensor, nn
from reprtune.training.descent import cuda_graph
from reprtune.study import queueing as slots
from tests.training.broken_cuda import BrokenCuda

if multiprocessing.current_process().name != "MainProcess":  # in a worker, which ends with it
    slots.MAX_LOST = 2
    CUDA = BrokenCuda()

class Net(nn.Module):
    def __init__(self, c, n, poison):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(c, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.fc = nn.Linear(4, n)
        self.poison = poison

    def forward(self, x):
        if self.training and isinstance(x, Tensor) and len(x) == 64:  # neither traced nor tried
            if CUDA.dead:
                Path("asked-after").touch()
            if self.poison:
                CUDA.fail()
        return self.fc(self.body(x).mean((2, 3)))

def good(c, size, n):
    return Net(c, n, False)

def poison(c, size, n):
    return Net(c, n, True)
"""
CAPTURE = """
from reprtune.training.descent.cuda_graph import CaptureFailed

def refuse(*_):
    raise CaptureFailed("cannot be captured", "Hint.") from RuntimeError("operation not permitted")

if multiprocessing.current_process().name != "MainProcess":
    graph.why_eager = lambda *_: None
    graph.capture_on_cuda = refuse
"""
GOOD = replace(STUDY.base, model=replace(STUDY.base.model, name="python:nets:good", width=None))
POISON = Arm(name="poison", changes={"model": {"name": "python:nets:poison"}})
CRITERIA = {"method.criterion": Choice(options=("l2", "random"))}
DEAD = "REPRTUNE_TEST_DEAD_WORKER"


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs MLflow; and workers with nothing to take leave soon."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", "15")


class FromHere(Settings):
    """Settings that make a worker import this module, and so all that the networks here need."""


def launcher(settings: Settings, said: list[str], n_workers: int = 1) -> Launcher:
    return Launcher(
        settings=FromHere.from_environment(runs_dir=settings.runs_dir, device="cpu"),
        name="tiny",
        n_workers=n_workers,
        n_trials=None,
        draw=str,
        observe=lambda *_: None,
        say=said.append,
    )


def of_workers(said: list[str]) -> list[str]:
    return [sentence for sentence in said if sentence.startswith("Worker")]


@pytest.mark.slow  # processes for what test_replacing.py tests without them
def test_a_slot_that_takes_the_device_costs_itself_and_nothing_else(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process that it takes is followed by another, more often than MAX_RESTARTS allows for others; it is
    given up after MAX_LOST, and all other slots are complete."""
    monkeypatch.setattr("reprtune.work.launch.MAX_RESTARTS", 0)
    monkeypatch.setattr("reprtune.study.queueing.MAX_LOST", 2)
    folder.write("nets.py", NETS)
    settings = create(
        tmp_path, base=GOOD, controls=(POISON, Arm(name="base")), control_seeds=(0,), slots=2, space=CRITERIA
    )
    said: list[str] = []
    summary = launcher(settings, said).run()
    study = summary.study
    assert summary.pending == 0 and not summary.interrupted
    assert [t.outcome for t in study.trials] == ["complete", "complete"]
    assert [(t.arm, t.outcome) for t in study.controls] == [
        ("poison", "lost"), ("base", "complete"), ("poison", "lost"), ("poison", "error")
    ]  # fmt: skip
    assert study.controls[-1].result["error"] == f"given up: its worker vanished 2 times ({SAID})"
    sentence = (
        f"Worker 0 ended with code 71: nothing can be computed on cpu any more in its process ({SAID}); its slot "
        "is queued again, and another worker takes its place."
    )
    assert of_workers(said) == [sentence] * 2
    assert not (folder.path / "asked-after").exists()


@pytest.mark.slow  # processes for what test_replacing.py tests without them
def test_a_network_that_cannot_be_captured_costs_one_process(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is told, and trains all trials of it step by step; no slot is lost."""
    monkeypatch.setattr("reprtune.work.launch.MAX_RESTARTS", 0)
    folder.write("nets.py", NETS + CAPTURE)
    settings = create(tmp_path, base=GOOD, controls=(), slots=3, space=CRITERIA)
    said: list[str] = []
    study: StudyRecord = launcher(settings, said).run().study
    assert study.counts() == {"complete": 3, "interrupted": 1}
    (sentence,) = of_workers(said)
    assert sentence.startswith(
        "Worker 0 ended with code 75: a step could not be captured as a CUDA graph (operation not permitted)"
    )
    assert all(
        "could not be captured: operation not permitted" in t.result["device"] for t in study.complete()
    )


if DEAD in os.environ:  # in a worker, before it opens its device
    CUDA = BrokenCuda()

    def _synchronize(*_: Any) -> None:
        if str(multiprocessing.current_process()._args[2]) == os.environ[DEAD]:  # type: ignore[attr-defined]
            CUDA.fail()

    torch.cuda.synchronize = _synchronize


@pytest.mark.slow  # as above
def test_a_dead_gpu_does_not_stop_the_workers_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is started again MAX_RESTARTS times, then no more; the other one ends the study."""
    monkeypatch.setattr("reprtune.work.launch.MAX_RESTARTS", 1)
    monkeypatch.setenv(DEAD, "1")
    settings = create(tmp_path, controls=(), slots=3, space=CRITERIA)
    said: list[str] = []
    summary: Summary = launcher(settings, said, 2).run()
    assert summary.pending == 0 and summary.study.counts() == {"complete": 3}
    begin = f"Worker 1 ended with code 71: nothing can be computed on cpu ({SAID}), and "
    assert of_workers(said) == [
        f"{begin}another worker takes its place (1 of 1).", f"{begin}no other takes its place."
    ]  # fmt: skip


@pytest.mark.slow  # as above
def test_without_a_worker_left_the_error_names_the_device_and_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is left."""
    monkeypatch.setattr("reprtune.work.launch.MAX_RESTARTS", 0)
    monkeypatch.setenv(DEAD, "0")
    settings = create(tmp_path, controls=(), slots=3, space=CRITERIA)
    with pytest.raises(ReprtuneError) as raised:
        launcher(settings, [], 1).run()
    assert raised.value.message == f"Nothing can be computed any more on cpu ({SAID}); 3 slots are left."
    assert "nvidia-smi" in str(raised.value.hint) and "--device" in str(raised.value.hint)
    assert read(settings).counts() == {"waiting": 3}
