"""Nearness to the geometric median of a layer (FPGM, arXiv 1811.00250)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.filter_rows import filter_rows


def score(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """-sum over k of |w_j - w_k|: the filter that the others replace best is dropped first (eq. 6).

    As it is, without a correction for the layer: a global ranking prefers layers of few, small filters.
    """
    return {name: -distances(weight) for name, weight in filters.items()}


def distances(weight: Tensor) -> Tensor:
    """Sum of the Euclidean distances of each filter (J, ...) to all others, float64 on the CPU."""
    rows = filter_rows(weight)
    # not by products, which lose half of the digits between filters that are near
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
