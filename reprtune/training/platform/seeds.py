"""One generator per purpose: randomness derived from a seed and what it is for, never from a global state."""

from __future__ import annotations

import hashlib
import json

import torch


def derive(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose: the first bits of the SHA-256 of the JSON list `[seed, *purpose]`.

    Args:
        seed: seed of the trial or of the split.
        purpose: texts and whole numbers that name the use, such as `"init", 0`; 1 and "1" differ.
    """
    text = json.dumps([seed, *purpose], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A fresh CPU generator for one purpose, so that draws are the same on every device.

    torch's CPU generator reads the low 32 bits of its seed; they are as well mixed as all 63.
    """
    return torch.Generator().manual_seed(derive(seed, *purpose))
