"""The device a trial runs on, and what is set up for it once per process."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from reprtune.errors import ReprtuneError

Device = torch.device
OutOfMemory = torch.OutOfMemoryError
TORCH_VERSION = str(torch.__version__)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>


def choose_device(name: str, worker: int = 0) -> torch.device:
    """`auto` = a CUDA device where there is one, else the CPU. Workers of one machine spread over its GPUs
    unless one is named.

    Raises:
        ReprtuneError: CUDA is asked for and not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.device_count() > 0:
        name = f"cuda:{worker % torch.cuda.device_count()}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ReprtuneError(
            f"device {name} is not there: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices.",
            "Use --device cpu, or install a CUDA build of torch for your driver.",
        )
    return device


def describe(device: torch.device) -> str:
    """The device and why, for people and records."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)} (SM {major}{minor})"
    return f"CPU {platform.machine()}, bf16 {'in hardware' if has_fast_bf16() else 'emulated, slow'}"


def has_fast_bf16() -> bool:
    """Does this CPU multiply bf16 in hardware?"""
    features = torch.backends.cpu.get_cpu_capability()
    try:
        flags = {k for k, v in torch.cpu.get_capabilities().items() if v}
    except AttributeError:  # torch < 2.12
        flags = set()
        with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as file:
            flags = set(file.read().split())
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & flags) or features == "SVE256"


def release_cached_memory() -> None:
    """Give the device back what is free, after it ran out of memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next step instead of returning and zeroing them (1.0-1.2x).

    mallopt is what the MALLOC_* environment variables set, without needing a fresh process.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, value in (
            (M_MMAP_THRESHOLD, 32 << 20),
            (M_TRIM_THRESHOLD, 1 << 30),
            (M_TOP_PAD, 64 << 20),
        ):
            libc.mallopt(option, value)


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Run with `n` CPU threads: sums round differently with another number."""
    before = torch.get_num_threads()
    if before != n:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        if before != n:
            torch.set_num_threads(before)
