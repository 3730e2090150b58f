"""A device after one of CUDA's sticky errors: noticed by asking it, and said in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reprtune.errors import ReprtuneError
from reprtune.settings import Settings
from reprtune.training.chain import dropping
from reprtune.training.chain.train_one import train_one
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.descent.cuda_graph import CaptureFailed
from reprtune.training.platform.device_faults import (
    BROKEN,
    LOST,
    DeviceError,
    check_computes,
    fault,
    faults_in_words,
)
from tests.command import Command
from tests.training.broken_cuda import SAID, TEXT, BrokenCuda
from tests.training.tiny import CPU, SPEC, STEPS

GPU = torch.device("cuda:3")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> BrokenCuda:
    return BrokenCuda(monkeypatch.setattr)


def train(folder: Path, **options: Any) -> dict[str, Any]:
    settings = Settings(runs_dir=folder, device="cpu")
    return train_one(SPEC, settings, lambda *_: None, test=True, **options)


def raising(error: BaseException) -> Any:
    def call(*_: Any, **__: Any) -> None:
        raise error

    return call


def test_a_device_that_answers_has_no_fault(cuda: BrokenCuda) -> None:
    """By the first line of what it says where it does not; torch has several kinds of error for that."""
    assert fault(GPU) is None and fault(CPU) is None
    cuda.dead = True
    assert fault(GPU) == SAID


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(TEXT),
        torch.AcceleratorError(TEXT),
        AssertionError("Torch not compiled with CUDA enabled"),
    ],
)
def test_whatever_kind_of_error_waiting_ends_in(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A GPU is asked also where this process has not used it so far."""
    monkeypatch.setattr(torch.cuda, "synchronize", raising(error))
    assert fault(GPU) == str(error).splitlines()[0]


def test_the_gpu_that_is_asked_is_the_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first; on a CPU CUDA is asked only where it was used in this process (by a person's network)."""
    asked: list[Any] = []
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    assert fault(CPU) is None and asked == []
    fault(GPU)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    fault(CPU)
    assert asked == [GPU, None]


def test_a_device_is_tried_with_a_kernel_first(monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda) -> None:
    """The error names it and the fix; too little memory, which others may hold, is no fault of it."""
    check_computes(CPU)
    monkeypatch.setattr(torch, "ones", raising(torch.OutOfMemoryError("CUDA out of memory.")))
    check_computes(CPU)
    monkeypatch.setattr(torch, "ones", raising(RuntimeError("CUDA error: no kernel image is available")))
    with pytest.raises(
        DeviceError, match=r"Nothing can be computed on cpu in .* no kernel image is avail"
    ) as one:
        check_computes(CPU)
    assert one.value.hint == BROKEN and "nvidia-smi" in BROKEN and "--device" in BROKEN
    monkeypatch.undo()
    BrokenCuda(monkeypatch.setattr).dead = True
    with pytest.raises(DeviceError, match=SAID):
        check_computes(CPU)


def test_only_what_leaves_the_device_dead_becomes_a_lost_device(cuda: BrokenCuda) -> None:
    """Errors of a living one, and captures that failed, stay what they are."""
    for error in (RuntimeError(TEXT), ReprtuneError("Ours."), KeyError("x")):
        with pytest.raises(type(error)) as raised, faults_in_words(CPU):
            raise error
        assert raised.value is error
    cuda.dead = True
    with pytest.raises(DeviceError, match=SAID), faults_in_words(CPU):
        raise KeyError("x")
    with pytest.raises(CaptureFailed), faults_in_words(CPU):
        raise CaptureFailed("No.")
    with pytest.raises(KeyboardInterrupt), faults_in_words(CPU):
        raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["drop", "test", "finish", "memory"])
def test_training_one_network_says_that_the_device_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda, where: str
) -> None:
    """In a step, in the test, when the network is written, and where torch speaks of memory: the last state stays,
    and the same call goes on from it."""

    def fail(*_: Any, **__: Any) -> None:
        cuda.dead = True
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED" if where == "memory" else TEXT)

    options = {"finish": fail} if where == "finish" else {}
    with monkeypatch.context() as patch:
        if where in ("drop", "memory"):
            patch.setattr(dropping, "drop_filters", fail)
        elif where == "test":
            patch.setattr("reprtune.training.chain.chain.Chain.test", fail)
        with pytest.raises(DeviceError) as raised:
            train(tmp_path, **options)
    assert raised.value.message == f"Nothing can be computed on cpu in this process: {SAID}"
    assert raised.value.hint == LOST and "last state stays" in LOST and "the same command goes on" in LOST
    assert set(cuda.asked) == {"synchronize"}
    cuda.dead = False
    again = train(tmp_path)
    assert again["outcome"] == "complete" and again["steps"] == STEPS and again["steps_spent"] < STEPS


def test_a_dead_device_is_refused_before_anything_is_loaded(tmp_path: Path, cuda: BrokenCuda) -> None:
    """With what to do about it."""
    cuda.dead = True
    with pytest.raises(DeviceError) as raised:
        train(tmp_path)
    assert raised.value.hint == BROKEN and not (tmp_path / "states").exists()


def test_train_ends_with_exit_code_1_and_no_traceback(
    command: Command, monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda
) -> None:
    """On the command line."""
    monkeypatch.setattr(TrialNetworks, "evaluate", lambda *_: cuda.fail())
    small = ("--total", "2ep", "--set", "model.width=2", "--set", "task.train_images=128")
    result = command.quick("train", "--device", "cpu", "--method", "standard", *small, code=1)
    assert SAID in result.stderr and "last state stays" in result.stderr and "Traceback" not in result.stderr
