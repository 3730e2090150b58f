"""A device that this process can use no longer.

After some errors of CUDA (an assertion in a kernel, an illegal address, a device that fell off the bus) every later
call to it fails in the same process, whoever makes it; a new process starts afresh. No text says for certain
which errors those are, and a kernel's error comes up at whatever call is next. So after an error of any kind
the device is asked to finish what it has, and its answer counts. After too little memory it answers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from reprtune.errors import ReprtuneError
from reprtune.training.descent.cuda_graph import CaptureFailed
from reprtune.training.platform.device import is_out_of_memory

BROKEN = (
    "Look for its errors with nvidia-smi and dmesg, then reset it or restart the machine, or name another with "
    "--device; the same command then goes on."
)
LOST = (
    "The last state stays, and the same command goes on from it. If this comes again, CUDA_LAUNCH_BLOCKING=1 in "
    "the environment shows which operation it is."
)


class DeviceError(ReprtuneError):
    """Every further call to a device would fail.

    Attributes:
        device: which. reason: what it says, one line.
    """

    def __init__(self, device: torch.device, reason: str, hint: str) -> None:
        super().__init__(f"Nothing can be computed on {device} in this process: {reason}", hint)
        self.device, self.reason = device, reason


def fault(device: torch.device) -> str | None:
    """What the device says when everything on it is waited for, one line; None = it can be used. To be
    asked after an error: it allocates nothing. Without CUDA in this process there is nothing to lose."""
    on_cuda = device.type == "cuda"
    if not on_cuda and not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    try:
        torch.cuda.synchronize(device if on_cuda else None)
    except Exception as error:  # noqa: BLE001 - torch's versions and libraries raise different kinds
        return first_line(error)
    return None


def check_computes(device: torch.device) -> None:
    """Run a small kernel and wait for it, before anything else is done.

    Raises:
        DeviceError: it fails. (Memory that others hold is no fault of the device.)
    """
    reason = None
    try:
        torch.ones(8, device=device).sum().item()
    except Exception as error:  # noqa: BLE001 - as above
        reason = None if is_out_of_memory(error) else first_line(error)
    reason = reason or fault(device)
    if reason is not None:
        raise DeviceError(device, reason, BROKEN)


@contextlib.contextmanager
def faults_in_words(device: torch.device) -> Iterator[None]:
    """Any error after which the device cannot be used is a `DeviceError`; every other one stays what it is.

    Raises:
        DeviceError: see there.
    """
    try:
        yield
    except (CaptureFailed, DeviceError):
        raise
    except Exception as error:
        if (reason := fault(device)) is None:
            raise
        raise DeviceError(device, reason, LOST) from error


def first_line(error: BaseException) -> str:
    """What an error says; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
