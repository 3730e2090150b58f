"""Filter Grafting in one network (arXiv 2001.05868): weak filters take over strong ones of their own layer.

Notations
    gamma   `weak_below`
    n       number of filters of the layer whose L1 norm, the sum of abs(w), is below gamma; at most half of them

    for i = 1..n: the i-th smallest filter <- itself + the i-th largest, as they were before

Smallest and largest by L1 norm, ties by position. Of every convolution the weight alone; bias, BatchNorm and momentum
stay, and so do all other filters. No code was released: what is not in the lines above is ours. Each network of
several is treated by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from reprtune.training.parts.exchanges import ExchangeContext
from reprtune.training.parts.exchanges.weak import by_size, weak_filters


@torch.no_grad()
def exchange(members: Sequence[Mapping[str, Tensor]], context: ExchangeContext, *, weak_below: float) -> None:
    """Add strong filters to weak ones, in every convolution of every member."""
    for member in members:
        for layer in context.convolutions:
            weight = member[f"{layer}.weight"]
            weak = weak_filters(weight, weak_below)[: len(weight) // 2].to(weight.device)
            strong = by_size(weight)[1].flip(0)[: len(weak)].to(weight.device)
            weight[weak] = weight[weak] + weight[strong]
