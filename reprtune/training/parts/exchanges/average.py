"""Averaging in a ring: the honest control of grafting, which is this with other weights.

Notations
    W_k     parameters and statistics of member k as they were before
    a       `own_share`

    W_k <- a W_k + (1 - a) W_{k-1}, the first member reading the last
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


@torch.no_grad()
def exchange(members: Sequence[Mapping[str, Tensor]], *, own_share: float) -> None:
    """Blend every floating-point entry; counters stay each member's own.

    With two members and a = 0.5 both are equal afterwards, bit for bit: the sum of two numbers does not depend
    on their order.
    """
    for name, first in members[0].items():
        if not first.is_floating_point():
            continue
        old = [member[name].clone() for member in members]
        for member, own, before in zip(members, old, [old[-1], *old[:-1]], strict=True):
            member[name].copy_(own_share * own + (1 - own_share) * before)
