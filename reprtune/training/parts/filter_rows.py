"""Filters as rows of numbers, as scores and restore rules look at them."""

from __future__ import annotations

import torch
from torch import Tensor


def filter_rows(weight: Tensor) -> Tensor:
    """One row per filter of a layer (J, ...): (J, d), float64 on the CPU, so that the numbers are the same
    whatever device and precision trained it."""
    return weight.detach().reshape(len(weight), -1).to("cpu", torch.float64)
