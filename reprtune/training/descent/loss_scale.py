"""Dynamic loss scaling for float16 (arXiv 1710.03740), by the rules of torch.amp.GradScaler.

The loss is multiplied by a scale so that small gradients do not become 0 in float16. Where a gradient is
not finite the step is skipped and the scale halved; after 2,000 steps without one it is doubled. GradScaler
reads on the host whether to skip; here that stays a number on the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

FIRST_SCALE, GROWTH, BACKOFF, GROWTH_INTERVAL = 65536.0, 2.0, 0.5, 2000


class LossScale:
    """Attributes:
    scale: what the loss is multiplied by, a float32 scalar on the device.
    growth: steps since the last one skipped or the last doubling, an int32 scalar.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), FIRST_SCALE, device=device)
        self.growth = torch.zeros((), dtype=torch.int32, device=device)

    @torch.no_grad()
    def unscale(self, gradients: list[Tensor]) -> Tensor:
        """Divide the gradients by the scale and set the scale of the next step.

        Returns:
            A float32 scalar on the device: 1 where some gradient is not finite, else 0.
        """
        overflow = torch.zeros_like(self.scale)
        inverse = self.scale.double().reciprocal().float()
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, overflow, inverse)
        torch._amp_update_scale_(self.scale, self.growth, overflow, GROWTH, BACKOFF, GROWTH_INTERVAL)
        return overflow

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue, by name."""
        return {"scale": self.scale, "growth": self.growth}
