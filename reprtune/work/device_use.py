"""How much of its device a worker uses: shares of 1, told with its beats to people who watch from anywhere."""

from __future__ import annotations

import contextlib

import psutil

from reprtune.training.platform.device import Device
from reprtune.training.platform.nvidia import held_share
from reprtune.work import gpus


class DeviceUse:
    """`cpu`: of one core, by this process since it was asked before; on a GPU `memory` that this process holds, and
    `gpu`: of the time something runs there, whoever runs it, where NVIDIA's driver says so.

    To be made in the worker's main thread, and asked in any.
    """

    def __init__(self, device: Device) -> None:
        self._process, self._device = psutil.Process(), device
        self._gpu = None
        if device.type == "cuda":
            self._gpu = dict(enumerate(gpus.visible())).get(device.index or 0)
        self()  # the first time it knows no time before, and CUDA is asked what it remembers then

    def __call__(self) -> dict[str, float]:
        found = {}
        with contextlib.suppress(Exception):  # whoever watches can do without
            found["cpu"] = round(self._process.cpu_percent() / 100, 3)
            if self._device.type == "cuda":
                found["memory"] = round(held_share(self._device), 3)
            if self._gpu is not None and "utilization_percentage" in (now := gpus.values(self._gpu)):
                found["gpu"] = round(now["utilization_percentage"] / 100, 3)
        return found
