"""The norms of restored filters.

Notations
    J, d        filters of the layer, numbers of a filter
    v           new value of one filter (d,); one that is 0 has no direction and stays 0
"""

from __future__ import annotations

import torch
from torch import Tensor

from reprtune.training.parts.filter_rows import filter_rows


def rescale(new: Tensor, weight: Tensor, dropped: Tensor, scale: str, generator: torch.Generator) -> Tensor:
    """The directions of `new` with other norms, found in float64 on the CPU.

    Args:
        new: (n_dropped, ...). weight: of the layer (J, ...), old values where `dropped` (J,) is True.
        scale: `survivors`: their mean norm; `old`: the old norm of each; `clip`: the norm of a random vector
            of N(0, 1) in d dimensions, then each weight cut to the survivors' largest, which turns the
            direction. (The RePr paper's author on its section 4; neither paper nor released code has it.)
    """
    rows, dropped = filter_rows(weight), dropped.cpu()
    directions = torch.nn.functional.normalize(filter_rows(new), dim=1, eps=torch.finfo(torch.float64).tiny)
    if scale == "survivors":
        scaled = directions * mean_norm(rows, dropped)
    elif scale == "old":
        scaled = directions * torch.linalg.vector_norm(rows[dropped], dim=1, keepdim=True)
    else:
        noise = torch.randn(directions.shape, generator=generator, dtype=torch.float64)
        limit = rows[~dropped].abs().max().item() or rows.abs().max().item() or 1.0
        scaled = directions * torch.linalg.vector_norm(noise, dim=1, keepdim=True)
        scaled = scaled.clamp(-limit, limit)
    return scaled.reshape(new.shape).to(new)


def mean_norm(rows: Tensor, dropped: Tensor) -> float:
    """The mean norm of the survivors among the rows (J, d); of all where the survivors are 0, and 1 where all are."""
    norms = torch.linalg.vector_norm(rows, dim=1)
    return norms[~dropped].mean().item() or norms.mean().item() or 1.0
