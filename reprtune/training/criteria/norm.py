"""Weight magnitude: the filters with the smallest norm first (arXiv 1608.08710)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.criteria import ScoreContext


def score_l2(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """Minus the Euclidean norm, divided by the layer's mean norm so that layers compare.

    All 0 where every filter of a layer is 0.
    """
    return {name: _relative(weight) for name, weight in filters.items()}


def _relative(weight: Tensor) -> Tensor:
    rows = weight.detach().reshape(len(weight), -1).to("cpu", torch.float64)
    norms = torch.linalg.vector_norm(rows, dim=1)
    return -norms / norms.mean().clamp_min(torch.finfo(torch.float64).tiny)
