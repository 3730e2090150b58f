"""Members in a ring: each becomes a sum of itself and of the one before it, the first reading the last.

Notations
    W_k     an entry of the state of member k as it was before
    a, b    shares of itself and of the one before it; numbers, or tensors that fit the entry

    W_k <- a_k W_k + b_k W_{k-1}

With two members, a_1 = b_2 and a_2 = b_1, both are equal afterwards bit for bit: a sum does not depend on its order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Shares = tuple[Any, Any]


@torch.no_grad()
def blend_ring(members: Sequence[Mapping[str, Tensor]], shares: Callable[[str], Sequence[Shares]]) -> None:
    """Blend every entry.

    Args:
        shares: entry -> (a, b) of every member; asked before that entry is changed.
    """
    for name in members[0]:
        old = [member[name].clone() for member in members]
        for k, (member, (a, b)) in enumerate(zip(members, shares(name), strict=True)):
            member[name].copy_(blended(old[k], old[k - 1], a, b))


def blended(own: Tensor, before: Tensor, a: Any, b: Any) -> Tensor:
    """a own + b before; whole numbers, such as BatchNorm's count of batches, and truths to the nearest, and where both
    are the same they stay."""
    if own.is_floating_point() or own.is_complex():
        return a * own + b * before
    mixed = float(a) * own.cpu().double() + float(b) * before.cpu().double()  # not every device has float64
    return torch.where(own == before, own, mixed.round().to(own))
