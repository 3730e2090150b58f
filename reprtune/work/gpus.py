"""NVIDIA's GPUs as their driver sees them, numbered as torch numbers them.

The driver numbers all GPUs of the machine; torch those that CUDA_VISIBLE_DEVICES names, in its order, or the
fastest first. What both agree on is the UUID.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from reprtune.training.platform.nvidia import visible_uuids

MB = 1e6


def visible() -> list[Any]:
    """Handles of the GPUs that torch sees, in its order; none where there is no driver, library or right."""
    try:
        import pynvml

        pynvml.nvmlInit()
        uuids = visible_uuids()
        with contextlib.suppress(pynvml.NVMLError):  # a driver that does not know them
            if uuids is not None:
                return [_called(uuid) for uuid in uuids]
        return _named(os.environ.get("CUDA_VISIBLE_DEVICES"))
    except Exception:  # noqa: BLE001 - whatever is missing: no GPU metrics
        return []


def _called(uuid: str) -> Any:
    """The GPU, or the part of one (MIG), that has this UUID."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    return pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")


def _named(text: str | None) -> list[Any]:
    """Those that CUDA_VISIBLE_DEVICES names, to the first that is not there, as CUDA reads it; all GPUs where it
    is not set. For a process that does not use CUDA: asking torch would begin it."""
    import pynvml

    names = map(str, range(pynvml.nvmlDeviceGetCount())) if text is None else text.split(",")
    found = []
    for name in names:
        by_number = name.strip().isdecimal()
        try:
            found.append(
                pynvml.nvmlDeviceGetHandleByIndex(int(name))
                if by_number
                else pynvml.nvmlDeviceGetHandleByUUID(name.strip())
            )
        except pynvml.NVMLError:
            break
    return found


def values(gpu: Any) -> dict[str, float]:
    """What this GPU answers to; not every one knows its power."""
    import pynvml

    found: dict[str, float] = {}
    with contextlib.suppress(pynvml.NVMLError):
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
        found["memory_usage_percentage"] = round(100 * memory.used / memory.total, 1)
        found["memory_usage_megabytes"] = memory.used / MB
    with contextlib.suppress(pynvml.NVMLError):
        found["utilization_percentage"] = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu
    with contextlib.suppress(pynvml.NVMLError):
        watts = pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000
        found["power_usage_watts"] = watts
        found["power_usage_percentage"] = 100_000 * watts / pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu)
    return found
