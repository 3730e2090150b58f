"""Metrics of GPUs: those that torch sees, with its numbers, as far as they answer."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reprtune.work import gpus
from reprtune.work.monitor import Sampler


class NVMLError(Exception):
    pass


class Driver:
    """NVIDIA's library on a machine with GPUs of 80 GB: the first is empty, the second full to a tenth, and so
    on. Each is three quarters busy and draws half of its watts, where it knows them."""

    NVMLError = NVMLError

    def __init__(self, uuids: list[str], power: bool = True) -> None:
        self.uuids, self.power = uuids, power

    def nvmlInit(self) -> None: ...  # noqa: N802 - NVIDIA's names

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index >= len(self.uuids):
            raise NVMLError
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        if uuid not in self.uuids:
            raise NVMLError
        return self.uuids.index(uuid)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=8e9 * handle, total=80e9)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        if self.uuids[handle].startswith("MIG-"):  # as the real one
            raise NVMLError
        return SimpleNamespace(gpu=75)

    def nvmlDeviceGetEnforcedPowerLimit(self, _: int) -> int:  # noqa: N802
        return 700_000

    def nvmlDeviceGetPowerUsage(self, _: int) -> int:  # noqa: N802
        if not self.power:
            raise NVMLError
        return 350_000


def sampled(
    folder: Path,
    patch: pytest.MonkeyPatch,
    driver: Any,
    uuids: list[str] | None = None,
    env: str | None = None,
) -> dict[str, float]:
    """The metrics of GPUs in a process whose torch uses those with these UUIDs; None = it uses no CUDA."""
    patch.setitem(sys.modules, "pynvml", driver)
    patch.setattr(gpus, "visible_uuids", lambda: uuids)
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if env is not None:
        patch.setenv("CUDA_VISIBLE_DEVICES", env)
    return {name: value for name, value in Sampler(folder)().items() if name.startswith("gpu_")}


def memory(found: dict[str, float]) -> dict[str, float]:
    """`gpu_1` -> tenths of its memory, which tell which GPU of the machine it is."""
    ending = "_memory_usage_percentage"
    return {
        name.removesuffix(ending): round(value / 10) for name, value in found.items() if name.endswith(ending)
    }


@pytest.mark.parametrize("power", [True, False])
def test_a_gpu_is_shown_as_far_as_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power: bool
) -> None:
    """A tenth of its memory, three quarters busy, and half of its watts where it knows them."""
    found = sampled(tmp_path, monkeypatch, Driver(["GPU-a", "GPU-b"], power), ["b"])
    expected = {"gpu_0_memory_usage_percentage": 10.0, "gpu_0_memory_usage_megabytes": 8_000.0,
                "gpu_0_utilization_percentage": 75}  # fmt: skip
    watts = {"gpu_0_power_usage_watts": 350.0, "gpu_0_power_usage_percentage": 50.0}
    assert found == (expected | watts if power else expected)


@pytest.mark.parametrize(
    ("uuids", "shown"),
    [
        (["c", "a"], {"gpu_0": 2, "gpu_1": 0}),  # CUDA_VISIBLE_DEVICES=2,0
        (["b"], {"gpu_0": 1}),
        (["b", "c", "a"], {"gpu_0": 1, "gpu_1": 2, "gpu_2": 0}),  # fastest first
        (["part"], {"gpu_0": 3}),
        ([], {}),
    ],
)
def test_gpus_have_the_numbers_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uuids: list[str], shown: dict[str, int]
) -> None:
    """Not those of the driver, which counts all of the machine: found by UUID, also a part of a GPU."""
    driver = Driver(["GPU-a", "GPU-b", "GPU-c", "MIG-part"])
    assert memory(sampled(tmp_path, monkeypatch, driver, uuids, env="2,0")) == shown


@pytest.mark.parametrize(
    ("env", "shown"),
    [
        (None, {"gpu_0": 0, "gpu_1": 1, "gpu_2": 2}),
        ("2,0", {"gpu_0": 2, "gpu_1": 0}),
        ("GPU-b, 0", {"gpu_0": 1, "gpu_1": 0}),
        ("1,7,0", {"gpu_0": 1}),  # CUDA ends at the first that is not there
        ("-1", {}),
        ("", {}),
    ],
)
def test_a_process_without_cuda_shows_those_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: str | None, shown: dict[str, int]
) -> None:
    """By CUDA_VISIBLE_DEVICES; torch is not asked, for that would begin to use a GPU."""
    driver = Driver(["GPU-a", "GPU-b", "GPU-c"])
    assert memory(sampled(tmp_path, monkeypatch, driver, None, env)) == shown


def test_a_driver_that_does_not_know_the_uuids_is_asked_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics with a doubtful number are better than none."""
    assert memory(sampled(tmp_path, monkeypatch, Driver(["GPU-a", "GPU-b"]), ["x"], "1")) == {"gpu_0": 1}


def test_without_a_driver_there_are_no_metrics_of_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no error; nor without the library."""
    assert sampled(tmp_path, monkeypatch, SimpleNamespace()) == {}
    assert sampled(tmp_path, monkeypatch, None) == {}
