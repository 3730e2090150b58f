"""CUDA as it is after one of its sticky errors, as far as a machine without a GPU can play it."""

from __future__ import annotations

from typing import Any

import torch

SAID = "CUDA error: device-side assert triggered"
TEXT = f"{SAID}\nCUDA kernel errors might be asynchronously reported at some other API call."
CALLS = (
    "synchronize", "empty_cache", "get_device_name", "get_device_capability", "get_rng_state", "current_stream",
)  # fmt: skip


class BrokenCuda:
    """Stands for CUDA in a process that trains on its CPU; once it is `dead`, every call fails.

    Attributes:
        asked: the calls that were made since.
    """

    def __init__(self, patch: Any = setattr) -> None:
        """`patch` replaces an attribute; in a process that ends soon, for good."""
        self.dead = False
        self.asked: list[str] = []
        patch(torch.cuda, "is_initialized", lambda: True)
        patch(torch.cuda, "is_available", lambda: True)
        for name in CALLS:
            patch(torch.cuda, name, self._call(name))

    def _call(self, name: str) -> Any:
        def call(*_: Any) -> None:
            if self.dead:
                self.asked.append(name)
                raise torch.AcceleratorError(TEXT)

        return call

    def fail(self) -> None:
        """What a kernel's assertion does."""
        self.dead = True
        raise RuntimeError(TEXT)
