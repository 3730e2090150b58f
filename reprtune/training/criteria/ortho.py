"""Inter-filter overlap, the criterion of RePr (arXiv 1811.07275, section 4.1).

Notations
    J       filters of a layer             d = c k k   numbers of a filter
    W       weights, one row per filter (J, d)
    W^      rows of W divided by their norm; a filter of norm 0 has no direction: its row is 0,
            so it overlaps with no other
    P       |W^ W^T - I| off the diagonal, 0 on it (J, J)
    O_f     sum of row f of P / J, in [0, 1 - 1/J]
    e_d     sqrt(2 / (pi d)), mean |cosine| of two random directions in d dimensions, for large d
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.criteria import ScoreContext


def score(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """O_f. Grows as 1/sqrt(d), so a ranking over the whole network prefers layers with small filters."""
    return {name: overlaps(weight) for name, weight in filters.items()}


def score_corrected(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """O_f / e_d: about 1 for random filters of any size."""
    return {
        name: overlaps(weight) / math.sqrt(2 / (math.pi * weight[0].numel()))
        for name, weight in filters.items()
    }


def overlaps(weight: Tensor) -> Tensor:
    """O_f of a layer (J, ...), float64 on the CPU: the same numbers whatever device trained it."""
    rows = weight.detach().reshape(len(weight), -1).to("cpu", torch.float64)
    rows = torch.nn.functional.normalize(rows, dim=1, eps=torch.finfo(torch.float64).tiny)
    cosines = (rows @ rows.T).abs()
    return cosines.fill_diagonal_(0).sum(1) / len(rows)


def overlap(weight: Tensor) -> float:
    """Mean O_f of a layer."""
    return overlaps(weight).mean().item()
