"""The restore rules that RePr's is compared with: a new beginning, nothing, and what was there."""

from __future__ import annotations

import torch
from torch import Tensor

from reprtune.training.parts.restores import Restored, RuleContext


def restore_random(weight: Tensor, dropped: Tensor, context: RuleContext) -> Restored:
    """As in a new network: the same rows of the layer in one built from a seed of this restore."""
    return _restored("random", context.initial()[dropped.cpu()], weight)


def restore_zero(weight: Tensor, dropped: Tensor, _context: RuleContext) -> Restored:
    """All weights 0, as DSD brings back what it left out (arXiv 1607.04381, there single weights). With
    `restore_bn = reset` and ReLU such a filter stays silent: its output is 0, where ReLU's slope is 0."""
    return _restored("zero", torch.zeros_like(weight.detach()[dropped.to(weight.device)]), weight)


def restore_old(weight: Tensor, dropped: Tensor, _context: RuleContext) -> Restored:
    """The value it had when it was dropped."""
    return _restored("old", weight.detach()[dropped.to(weight.device)].clone(), weight)


def _restored(level: str, new: Tensor, weight: Tensor) -> Restored:
    return Restored(new.detach().to(weight.device, weight.dtype), (level,) * len(new))
