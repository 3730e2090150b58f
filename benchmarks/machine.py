"""What a measurement was made on: without it a number means nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

import reprtune
from reprtune.training.platform import mps

ROOT = Path(__file__).resolve().parents[1]


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(device: torch.device) -> dict[str, str]:
    """Hardware, versions and commit."""
    facts = {
        "cpu": _cpu_name(),
        "cores": str(cores()),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "load before": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "0",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "reprtune": reprtune.__version__,
        "commit": _commit(),
    }
    return facts | _gpu(device) if device.type == "cuda" else facts


def _gpu(device: torch.device) -> dict[str, str]:
    free, whole = (n / 2**30 for n in torch.cuda.mem_get_info(device))
    major, minor = torch.cuda.get_device_capability(device)
    return {
        "gpu": f"{torch.cuda.get_device_name(device)} (SM {major}{minor})",
        "gpus": str(torch.cuda.device_count()),
        "gpu memory": f"{free:.1f} of {whole:.1f} GiB free",
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        "mps": "running" if mps.is_running() else "not running: processes take turns",
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Short hash of HEAD, with `+` when files differ from it; `unknown` outside a checkout and without git."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
