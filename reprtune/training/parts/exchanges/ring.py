"""Filter Grafting (arXiv 2001.05868): members in a ring, each layer blended by how much information it holds.

Notations
    W_k     an entry of the state of member k (1..K) as it was before; member 1 reads member K
    H_k     information of a layer's weight in member k: one number
    A, c    `blend_a`, `blend_c`
    g_kj    scale of channel j of the BatchNorm right after the layer, in member k

    entropy     H = - sum over i of p_i ln p_i, p_i the shares of the weights in 10 bins of equal width between the
                smallest and the largest of them; 0 where all are equal
    l1          H = mean of abs(w) over the layer's weights
    constant    H = 0
    layer       a_k = A / pi arctan(c (H_k - H_{k-1})) + 0.5, in [0.5 - A / 2, 0.5 + A / 2]
    filter      a_kj = abs(g_kj) / (abs(g_kj) + abs(g_{k-1,j})); 0.5 where both are 0, and where constant

    W_k <- a_k W_k + (1 - a_k) W_{k-1}

Every entry takes the shares of the convolution before it: BatchNorm's scale, shift, running statistics and count of
batches, biases, linear layers. By filter, the entries of the convolution and of its BatchNorm are blended channel by
channel (dimension 0), and all others by the mean of the a_kj. Momentum is left alone.

This is the form of the code released with the paper (A = 0.4, c = 500), not the paper's literal A arctan(...) + 0.5,
which leaves [0, 1]; `blend_rounded` rounds a_k to two decimals as that code does. What else is not as there: its
last bin leaves out the largest weight; it knows a convolution by the text `conv` in its name; by filter it blends
the input channels too, by the BatchNorm before the layer, and leaves linear layers and biases alone, so that two
networks do not become equal. That l1 is a mean is our choice: of a sum, c = 500 would leave no a_k but the two
ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reprtune.training.parts.exchanges import ExchangeContext
from reprtune.training.parts.exchanges.blending import Shares, blend_ring

BINS = 10
DECIMALS = 2
Entries = Mapping[str, Tensor]


@torch.no_grad()
def exchange(
    members: Sequence[Entries],
    context: ExchangeContext,
    *,
    blend_by: str,
    blend_level: str,
    blend_a: float,
    blend_c: float,
    blend_rounded: bool,
) -> None:
    """Blend every entry of every member with that of the member before it."""
    if blend_level == "filter" and blend_by != "constant":
        blend_filters(members, context)
        return
    shares = layer_shares(members, context.convolutions, blend_by, blend_a, blend_c, rounded=blend_rounded)
    blend_ring(members, lambda name: shares[context.follows[name]])


# -- by layer -------------------------------------------------------------------------------------


def layer_shares(
    members: Sequence[Entries], layers: Sequence[str], blend_by: str, a: float, c: float, *, rounded: bool
) -> dict[str, list[Shares]]:
    """Layer -> the shares (a_k, 1 - a_k) of every member. They add up to 1, and two members' are exchanged."""
    found = {}
    for layer in layers:
        held = [information(member[f"{layer}.weight"], blend_by) for member in members]
        leans = [a / math.pi * math.atan(c * (own - held[k - 1])) for k, own in enumerate(held)]
        leans = [round(lean, DECIMALS) for lean in leans] if rounded else leans
        found[layer] = [(0.5 + lean, 0.5 - lean) for lean in leans]
    return found


def information(weight: Tensor, blend_by: str) -> float:
    """H of a layer's weight, in float64."""
    if blend_by == "constant":
        return 0.0
    return entropy(weight) if blend_by == "entropy" else float(weight.cpu().double().abs().mean())


def entropy(weight: Tensor) -> float:
    """In nats; between 0 and ln 10."""
    values = weight.cpu().double().flatten()  # counted on the CPU: the same on every device
    low, high = float(values.min()), float(values.max())
    if low == high or not math.isfinite(low) or not math.isfinite(high):
        return 0.0
    shares = torch.histc(values, BINS, low, high) / len(values)
    shares = shares[shares > 0]
    return -float((shares * shares.log()).sum())


# -- by filter ------------------------------------------------------------------------------------


def blend_filters(members: Sequence[Entries], context: ExchangeContext) -> None:
    """Every convolution has a BatchNorm right after it: `requirements` sees to that."""
    channels = {layer: scale_shares(members, context.norms[layer]) for layer in context.convolutions}
    means = {
        layer: [(float(a.mean()), float(b.mean())) for a, b in shares] for layer, shares in channels.items()
    }

    def shares(name: str) -> Sequence[Shares]:
        layer = context.follows[name]
        whose = (layer, context.norms[layer])
        entry = members[0][name]
        if name.rpartition(".")[0] in whose and entry.dim() > 0:
            return [(_along(a, entry), _along(b, entry)) for a, b in channels[layer]]
        return means[layer]

    blend_ring(members, shares)


def scale_shares(members: Sequence[Entries], norm: str) -> list[tuple[Tensor, Tensor]]:
    """(a_kj, 1 - a_kj) of every member, each (J,)."""
    sizes = [member[f"{norm}.weight"].abs() for member in members]
    return [(_part(own, sizes[k - 1]), _part(sizes[k - 1], own)) for k, own in enumerate(sizes)]


def _part(size: Tensor, other: Tensor) -> Tensor:
    together = size + other
    return torch.where(together > 0, size / together, torch.full_like(size, 0.5))


def _along(shares: Tensor, entry: Tensor) -> Any:
    """(J,) as a tensor that goes along dimension 0 of the entry."""
    return shares.to(entry).reshape(-1, *[1] * (entry.dim() - 1))
