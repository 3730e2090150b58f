"""Whether a process that was written down somewhere still runs: known on the machine that it runs on, nowhere else."""

from __future__ import annotations

import platform
from pathlib import Path


def machine() -> str:
    """This machine, or this container on it: where a process number means something."""
    try:
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def has_ended(where: str, pid: int) -> bool:
    """Is the process known to have ended? Of another machine's nothing is known.

    Args:
        where: what `machine` said to the process.
    """
    if where != machine():
        return False
    import psutil  # takes its time, and is not needed where nothing was written down here

    try:
        # A zombie was killed, and nobody has asked how it ended.
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
