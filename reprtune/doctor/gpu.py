"""How several workers share a GPU, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from reprtune.doctor.findings import Finding
from reprtune.errors import ReprtuneError
from reprtune.settings import Settings
from reprtune.training.platform import mps
from reprtune.training.platform.device import choose_device


def sharing(settings: Settings) -> Iterator[Finding]:
    """At the same time, or in turns? Nothing where trials run on no GPU."""
    try:
        device = choose_device(settings.device)
    except ReprtuneError:
        return  # `device` says so
    if device.type != "cuda":
        return
    if mps.is_running():
        text = f"NVIDIA's MPS runs ({mps.pipe_directory()}): --workers on one GPU compute at the same time"
        yield Finding("MPS", "ok", text)
    else:
        text = (
            "NVIDIA's MPS does not run: several --workers on one GPU take turns on it; one worker needs none"
        )
        yield Finding("MPS", "ok", text, "When you want them at the same time: nvidia-cuda-mps-control -d")
