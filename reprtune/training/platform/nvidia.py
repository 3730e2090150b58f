"""NVIDIA's driver and GPUs: why torch leaves them unused, and which of them it uses."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from pathlib import Path

import torch

HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES, by a person or by Slurm


def has_driver() -> bool:
    """Is there a driver of NVIDIA, for this machine or this container?"""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def cuda_works() -> bool:
    """Does torch see a GPU? Where it does not, `why_unused` has its reason: torch's own warning is left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "CUDA initialization")
        return torch.cuda.is_available()


def is_made_for_cuda() -> bool:
    """Is this torch one that could use a GPU of NVIDIA?"""
    return torch.version.cuda is not None


def why_unused() -> str:
    """Why a torch for CUDA leaves the driver that is here unused: it is too old, or does not answer. In torch's
    own words, one sentence without its full stop; empty where CUDA works, where there is no driver, and where
    the GPUs are hidden on purpose."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in HIDDEN
    if not is_made_for_cuda() or hidden or not has_driver() or cuda_works():
        return ""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - whatever torch has against it
        text = " ".join(str(error).split()) or type(error).__name__
        return re.split(r"\.(?: (?=[A-Z])|$)", text)[0]
    return ""


def visible_uuids() -> list[str] | None:
    """UUIDs of the GPUs in torch's order, as the driver writes them but for `GPU-` or `MIG-` before them; None
    unless this process uses CUDA already, for asking would begin it."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]


def held_share(device: torch.device) -> float:
    """The share of a GPU's memory that this process holds, by its own account. Once it was asked, asking again calls
    nothing of CUDA, and so harms no step that is captured in another thread."""
    return torch.cuda.memory_reserved(device) / torch.cuda.get_device_properties(device).total_memory
