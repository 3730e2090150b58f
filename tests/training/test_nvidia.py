"""NVIDIA's driver and torch: why a GPU that is there stays unused is said, in torch's words, and once."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch

from reprtune.errors import ReprtuneError
from reprtune.settings import Settings
from reprtune.training.platform import nvidia
from reprtune.training.platform.device import choose_device, describe, open_device
from reprtune.training.platform.nvidia import cuda_works, has_driver, visible_uuids, why_unused
from tests.conftest import ROOT
from tests.training.driver import OLD, Machine

UNKNOWN = (
    "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable "
    "CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero."
)
REASONS = {
    OLD: "The NVIDIA driver on your system is too old (found version 11040)",
    UNKNOWN: "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable "
    "CUDA_VISIBLE_DEVICES after program start",
    "No CUDA GPUs are available": "No CUDA GPUs are available",
    "": "RuntimeError",
}
CPU = torch.device("cpu")


@pytest.mark.parametrize("said", REASONS)
def test_a_driver_that_torch_cannot_use_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    """`auto` takes the CPU; the first worker says why in one line with the remedy, and it stands in what is
    recorded. torch's own warning, of several lines, is left out."""
    Machine(monkeypatch, said)
    assert [open_device(Settings(), worker) for worker in (0, 1)] == [CPU, CPU]
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"CUDA does not work here: {REASONS[said]}. Update the driver" in line and "--device cpu" in line
    assert "\n" not in line
    assert describe(CPU).endswith(f"; CUDA does not work here: {REASONS[said]}")


def test_who_wants_the_cpu_is_told_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With --device cpu."""
    Machine(monkeypatch)
    open_device(Settings(device="cpu"))
    assert not caplog.records


def test_who_wants_the_gpu_is_told_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's reason beside the number of devices."""
    Machine(monkeypatch)
    with pytest.raises(ReprtuneError, match=r"sees 0 CUDA devices \(The NVIDIA driver .* is too old"):
        choose_device("cuda")


@pytest.mark.parametrize("what", ["works", "no driver", "torch for the CPU", "hidden", "hidden by Slurm"])
def test_where_nothing_is_wrong_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """CUDA works, there is no driver, torch was made without CUDA, or somebody has hidden the GPUs."""
    machine = Machine(monkeypatch, None if what == "works" else OLD)
    if what == "no driver":
        monkeypatch.setattr(nvidia, "has_driver", lambda: False)
    elif what == "torch for the CPU":
        monkeypatch.setattr(torch.version, "cuda", None)
    elif what.startswith("hidden"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "NoDevFiles" if "Slurm" in what else "")
    assert why_unused() == "" and "CUDA" not in describe(CPU)
    assert machine.n_asked == (2 if what == "works" else 0)  # where there is no GPU, torch is not even asked
    if what != "works":
        assert open_device(Settings()) == CPU
    assert not caplog.records


def test_a_driver_is_looked_for_cheaply(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its device file or its program."""
    monkeypatch.setattr(nvidia.Path, "exists", lambda _: False)
    monkeypatch.setattr(nvidia.shutil, "which", lambda _: None)
    assert not has_driver()
    monkeypatch.setattr(nvidia.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert has_driver()


def test_other_warnings_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what `why_unused` says is left out."""

    def is_available() -> bool:
        warnings.warn("Can't initialize NVML", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    with pytest.warns(UserWarning, match="NVML"):
        assert not cuda_works()


SAY = """
import torch
from reprtune.settings import Settings
from reprtune.training.platform import nvidia
from reprtune.training.platform.device import open_device
torch.version.cuda, nvidia.has_driver, torch.cuda.is_available = "13.0", lambda: True, lambda: False
def init(): raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please")
torch.cuda.init = init
open_device(Settings(device="auto"))
"""


def test_a_person_reads_one_line_on_stderr() -> None:
    """Nothing on stdout, and nothing before or after the sentence."""
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", SAY], cwd=ROOT, capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("Running on the CPU, for CUDA does not work here: The NVIDIA driver")


class Properties:
    def __init__(self, uuid: str) -> None:
        self.uuid = uuid


@pytest.mark.parametrize("uses_cuda", [True, False])
def test_the_gpus_of_torch_are_named_in_its_order(monkeypatch: pytest.MonkeyPatch, uses_cuda: bool) -> None:
    """By UUID; a process that does not use CUDA is not made to."""

    def properties(index: int) -> Any:
        assert uses_cuda
        return Properties("ba"[index])

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: uses_cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert visible_uuids() == (["b", "a"] if uses_cuda else None)
