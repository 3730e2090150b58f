"""`doctor` on a machine whose GPU torch leaves alone: it says why, and what to do."""

from __future__ import annotations

import pytest
import torch

from reprtune.doctor import machine as doctor_machine
from reprtune.doctor.findings import Finding
from reprtune.settings import Settings
from reprtune.training.platform import nvidia
from tests.training.driver import Machine


def of_the_device(name: str = "auto") -> Finding:
    [found] = [f for f in doctor_machine.device(Settings(device=name)) if f.check == "device"]
    return found


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning in torch's own words, once, with a remedy."""
    Machine(monkeypatch)
    found = of_the_device()
    assert found.verdict == "warning" and found.text.startswith("CPU ")
    assert found.text.count("driver") == 1
    assert found.text.endswith("The NVIDIA driver on your system is too old (found version 11040)")
    assert "Update the driver" in found.mend and "--device cpu" in found.mend


def test_a_torch_without_cuda_beside_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning too: a CUDA build would use the GPU."""
    Machine(monkeypatch)
    monkeypatch.setattr(torch.version, "cuda", None)
    found = of_the_device()
    assert found.verdict == "warning" and "unused by torch" in found.text
    assert "CUDA build" in found.mend


@pytest.mark.parametrize("what", ["no driver", "hidden", "--device cpu"])
def test_a_cpu_that_is_meant_is_well(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """There is no driver, the GPUs are hidden, or the CPU was asked for."""
    Machine(monkeypatch)
    if what == "no driver":
        monkeypatch.setattr(nvidia, "has_driver", lambda: False)
    elif what == "hidden":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert of_the_device("cpu" if what == "--device cpu" else "auto").verdict == "ok"
