"""Filter Grafting with noise (arXiv 2001.05868): what is added to weak filters is drawn, and fades.

Notations
    gamma   `weak_below`
    a       `noise_base`, below 1
    t       number of the exchange, from 1

    every filter whose L1 norm, the sum of abs(w), is below gamma <- itself + N(0, a^t)

a^t is the standard deviation, of each weight on its own. Of every convolution the weight alone; bias, BatchNorm and
momentum stay, and so do all other filters. No code was released: what is not in the lines above is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from reprtune.training.parts.exchanges import ExchangeContext
from reprtune.training.parts.exchanges.weak import weak_filters


@torch.no_grad()
def exchange(
    members: Sequence[Mapping[str, Tensor]],
    context: ExchangeContext,
    *,
    weak_below: float,
    noise_base: float,
) -> None:
    """Add noise to weak filters, in every convolution of every member. A filter's draws are its own, whoever else is
    weak."""
    deviation = noise_base ** (context.number + 1)
    for number, member in enumerate(members):
        for layer in context.convolutions:
            weight = member[f"{layer}.weight"]
            weak = weak_filters(weight, weak_below)
            draws = torch.randn(weight.shape, generator=context.generator(number, layer))[weak]
            weak = weak.to(weight.device)
            weight[weak] = weight[weak] + deviation * draws.to(weight)
