"""The device a trial runs on, and what is set up for it once per process."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from reprtune.errors import ReprtuneError
from reprtune.settings import Settings
from reprtune.training.platform.nvidia import cuda_works, why_unused

Device = torch.device
NO_MEMORY = (  # what allocators say that raise a plain RuntimeError
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
MEND = "Update the driver or install a torch made for it (pytorch.org), or say --device cpu."
NOT_DETERMINISTIC = "does not have a deterministic implementation"
TORCH_VERSION = str(torch.__version__)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>


def choose_device(name: str, worker: int = 0) -> torch.device:
    """`auto` = a CUDA device where there is one, else the CPU. Workers of one machine spread over its GPUs
    unless one is named.

    Raises:
        ReprtuneError: CUDA is asked for and not there.
    """
    if name == "auto":
        name = "cuda" if cuda_works() else "cpu"
    if name == "cuda" and torch.cuda.device_count() > 0:
        name = f"cuda:{worker % torch.cuda.device_count()}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        why = why_unused()
        raise ReprtuneError(
            f"device {name} is not there: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA "
            f"devices{why and f' ({why})'}.",
            "Use --device cpu, or install a CUDA build of torch for your driver.",
        )
    return device


def open_device(settings: Settings, worker: int = 0) -> torch.device:
    """The device of this process, made the current one and set up to compute as `settings` ask for.

    What uses the current device without saying so, in torch or in a person's own network, then uses this one.

    Raises:
        ReprtuneError: it is not there.
    """
    device = choose_device(settings.device, worker)
    if settings.deterministic:
        make_deterministic()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif settings.device == "auto" and worker == 0 and (why := why_unused()):
        said = f"Running on the CPU, for CUDA does not work here: {why}. {MEND}"
        logging.getLogger(__name__).warning(said)  # bare on stderr, unless somebody has set logging up
    set_numerics(device)
    return device


def make_deterministic() -> None:
    """The same bits every time on the same kind of GPU, for some speed; of the whole process, to be called
    before it first uses CUDA.

    An operation that has no deterministic implementation raises (see `refused`).
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    torch.use_deterministic_algorithms(True)
    # Nothing here reads what it has not written, and filling costs a pass over each new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def set_numerics(device: torch.device) -> None:
    """fp32 is fp32 (no TF32, but inside `tf32`), and cuDNN measures its algorithms once per shape, unless all is
    to be deterministic: then which one wins must not depend on a clock."""
    with warnings.catch_warnings():
        # Some versions of torch would rather have other flags set, beside which these could not be read any more.
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32")
        _allow_tf32(matmul=False, cudnn=False)
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.backends.cudnn.benchmark = device.type == "cuda" and not deterministic


def _allow_tf32(*, matmul: bool, cudnn: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = cudnn


@contextlib.contextmanager
def tf32() -> Iterator[None]:
    """Run with TF32 in matrix products and convolutions on a GPU. It is a setting of the whole process, in which
    others may compute with another precision: to be on only while its own trial computes."""
    before = {"matmul": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32}
    _allow_tf32(matmul=True, cudnn=True)
    try:
        yield
    finally:
        _allow_tf32(**before)


def kind(device: torch.device) -> str:
    """What states are named by: those of a deterministic process are continued only by such."""
    deterministic = device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
    return f"{device.type}, deterministic" if deterministic else device.type


def describe(device: torch.device, how: str = "") -> str:
    """The device and why, for people and records.

    Args:
        how: steps are run there (`TrialNetworks.how`).
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        exact = "deterministic" if torch.are_deterministic_algorithms_enabled() else ""
        name = f"{torch.cuda.get_device_name(device)} (SM {major}{minor})"
        return ", ".join(part for part in (name, exact, how) if part)
    name = f"CPU {platform.machine()}, bf16 {'in hardware' if has_fast_bf16() else 'emulated, slow'}"
    why = why_unused()
    return f"{name}; CUDA does not work here: {why}" if why else name


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


def is_out_of_memory(error: BaseException) -> bool:
    """Did an allocator, of the device or of the CPU, refuse?"""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)


def refused(error: BaseException) -> ReprtuneError | None:
    """Our words for an operation that `make_deterministic` refuses; None when it is something else."""
    if not (isinstance(error, RuntimeError) and NOT_DETERMINISTIC in str(error)):
        return None
    operation = str(error).split(maxsplit=1)[0]
    return ReprtuneError(
        f"This network cannot be trained with --deterministic: {operation} {NOT_DETERMINISTIC} in "
        f"torch {torch.__version__}.",
        "Leave --deterministic out, or choose another network.",
    )


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
