"""Inter-filter overlap, the criterion of RePr (arXiv 1811.07275, section 4.1).

Notations
    J       filters of a layer             d = c k k   numbers of a filter
    W       weights, one row per filter (J, d)
    W^      rows of W divided by their norm; a filter of norm 0 has no direction: its row is 0,
            so it overlaps with no other
    P       |W^ W^T - I| off the diagonal, 0 on it (J, J)
    O_f     sum of row f of P / J, in [0, 1 - 1/J]
    e_d     sqrt(2 / (pi d)), mean |cosine| of two random directions in d dimensions, for large d
    |W|     norm of the whole matrix: the square root of the sum of all its squares
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.filter_rows import filter_rows


def score(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """O_f. Grows as 1/sqrt(d), so a ranking over the whole network prefers layers with small filters."""
    return {name: overlaps(weight) for name, weight in filters.items()}


def score_corrected(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """O_f / e_d: about 1 for random filters of any size."""
    return {
        name: overlaps(weight) / math.sqrt(2 / (math.pi * weight[0].numel()))
        for name, weight in filters.items()
    }


def score_released(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """|sum over k != f of <w_f, w_k>| / (J |W|^2), what the code released with the paper computes.

    It differs from O_f twice: one norm for the whole layer, so that long filters score higher, and signed
    products, so that overlaps of opposite signs cancel. All 0 where every filter of a layer is 0.
    """
    return {name: _released(weight) for name, weight in filters.items()}


def overlaps(weight: Tensor) -> Tensor:
    """O_f of a layer (J, ...), float64 on the CPU: the same numbers whatever device trained it."""
    rows = filter_rows(weight)
    rows = torch.nn.functional.normalize(rows, dim=1, eps=torch.finfo(torch.float64).tiny)
    cosines = (rows @ rows.T).abs()
    return cosines.fill_diagonal_(0).sum(1) / len(rows)


def overlap(weight: Tensor) -> float:
    """Mean O_f of a layer."""
    return overlaps(weight).mean().item()


def _released(weight: Tensor) -> Tensor:
    rows = filter_rows(weight)
    rows = rows / torch.linalg.matrix_norm(rows).clamp_min(torch.finfo(torch.float64).tiny)
    products = rows @ rows.T
    return products.fill_diagonal_(0).mean(1).abs()
