"""NVIDIA's Multi-Process Service: while its daemon runs, several processes compute on one GPU at the same time.

A program that finds the daemon uses it by itself; without it the processes take turns.
"""

from __future__ import annotations

import os
from pathlib import Path

USUAL = "/tmp/nvidia-mps"  # noqa: S108 - NVIDIA's own default
CONTROL, PROCESS = "control", "nvidia-cuda-mps-control.pid"


def pipe_directory() -> Path:
    """Where the daemon and its clients find each other."""
    return Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or USUAL)


def is_running() -> bool:
    """Is its control pipe there, and not left behind by a daemon that has ended?"""
    folder = pipe_directory()
    if not (folder / CONTROL).exists():
        return False
    try:
        os.kill(int((folder / PROCESS).read_text()), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):  # of another user, or not said
        return True
    return True
