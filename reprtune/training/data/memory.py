"""How much of a data set may stay in memory."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from reprtune.errors import SpecError

RESIDENT_SHARE = 0.5  # of what is free: the network, its activations and other workers want some too
LIMIT = "REPRTUNE_RESIDENT_BYTES"
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def resident_limit(device: torch.device) -> int:
    """Bytes that resident images may take: half of what is free on the device, or `REPRTUNE_RESIDENT_BYTES`.

    Raises:
        SpecError: the variable is no whole number.
    """
    text = os.environ.get(LIMIT)
    if text is None:
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_ram()
        return int(RESIDENT_SHARE * free)
    if not text.isdecimal():
        raise SpecError(f"{LIMIT} must be a whole number of bytes, but is {text!r}.", "Leave it out.")
    return int(text)


def free_ram() -> int:
    """Bytes of RAM that a process may still take, within the limit of its container."""
    return min(_machine(), *_container())


def _machine() -> int:
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container() -> list[int]:
    """What is left of the limit of the control group (version 2); nothing where there is none."""
    try:
        limit, used = ((_CGROUP / f"memory.{what}").read_text().strip() for what in ("max", "current"))
    except OSError:
        return [_machine()]
    return [max(0, int(limit) - int(used))] if limit.isdecimal() else [_machine()]
