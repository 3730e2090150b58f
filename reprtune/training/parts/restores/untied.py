"""What a tied filter was made to be becomes weights of its own; see `reprtune.training.parts.drops.tied`."""

from __future__ import annotations

import torch
from torch import Tensor

from reprtune.training.parts.restores import Restored, RuleContext


@torch.no_grad()
def restore(weight: Tensor, dropped: Tensor, _context: RuleContext) -> Restored:
    """The rows that stand there, which are the transforms of their sources: no number of the network changes."""
    new = weight.detach()[dropped.to(weight.device)].clone()
    return Restored(new, ("untied",) * len(new))
