"""Weight magnitude: the smallest filters first."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.requirements import require_norms
from reprtune.training.parts.filter_rows import filter_rows


def score_l1(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """Minus the sum of absolute weights, divided by the layer's mean so that layers compare (arXiv 1608.08710).

    All 0 where every filter of a layer is 0.
    """
    return {name: _relative(weight, 1) for name, weight in filters.items()}


def score_l2(filters: Mapping[str, Tensor], _context: ScoreContext) -> dict[str, Tensor]:
    """Minus the Euclidean norm, divided by the layer's mean norm so that layers compare.

    All 0 where every filter of a layer is 0.
    """
    return {name: _relative(weight, 2) for name, weight in filters.items()}


def score_bn_gamma(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """-|gamma|, the scale of the BatchNorm after the filter (Network Slimming, arXiv 1708.06519).

    As it is: one scale for all layers, as in the paper, whose cut is global.

    Raises:
        SpecError: a layer has no BatchNorm of its own.
    """
    require_norms(filters, context.network.filters)
    norms, parameters = context.network.filters.norms, context.network.parameters
    return {
        name: -parameters[f"{norms[name]}.weight"].detach().abs().to("cpu", torch.float64) for name in filters
    }


def _relative(weight: Tensor, order: int) -> Tensor:
    rows = filter_rows(weight)
    norms = torch.linalg.vector_norm(rows, order, dim=1)
    return -norms / norms.mean().clamp_min(torch.finfo(torch.float64).tiny)
