"""A machine with a driver of NVIDIA and a torch made for CUDA, of which torch may say that they do not fit."""

from __future__ import annotations

import warnings

import pytest
import torch

from reprtune.training.platform import nvidia

OLD = (  # c10/cuda/CUDAFunctions.cpp
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by "
    "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx "
    "Alternatively, go to: https://pytorch.org to install a PyTorch version that has been compiled with your "
    "version of the CUDA driver."
)


class Machine:
    """A machine with a driver and a torch made for CUDA that says `reason` against it; None = it works."""

    def __init__(self, patch: pytest.MonkeyPatch, reason: str | None = OLD) -> None:
        self.reason, self.n_asked = reason, 0
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        patch.setattr(torch.version, "cuda", "13.0")
        patch.setattr(torch.cuda, "is_available", self.is_available)
        patch.setattr(torch.cuda, "device_count", lambda: 0)
        patch.setattr(torch.cuda, "init", self.init)
        patch.setattr(nvidia, "has_driver", lambda: True)

    def is_available(self) -> bool:
        self.n_asked += 1
        if self.reason is not None:
            warnings.warn(f"CUDA initialization: {self.reason}", stacklevel=2)
        return self.reason is None

    def init(self) -> None:
        raise RuntimeError(self.reason)
