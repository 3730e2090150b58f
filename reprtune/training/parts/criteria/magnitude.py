"""The magnitude of single weights: the smallest first (DSD, arXiv 1607.04381)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext


def score(weights: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """-|w| of every weight, of the shape of its layer's."""
    return {name: -weight.detach().to("cpu", torch.float64).abs() for name, weight in weights.items()}
