"""No criterion: the control for every other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.platform.seeds import generator


def score(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """Uniform on [0, 1), drawn for each layer and cycle from a generator of its own; of the first member as of a trial of
    one. One number for each filter, or for each single weight where these are ranked."""
    others = [context.member] if context.member else []
    return {
        name: torch.rand(
            weight.shape if context.unit == "weight" else (len(weight),),
            generator=generator(context.seed, "criterion", context.cycle, name, *others),
            dtype=torch.float64,
        )
        for name, weight in filters.items()
    }
