"""Averaging in a ring: the honest control of grafting, which is this with other weights.

Notations
    W_k     parameters and statistics of member k as they were before
    a       `own_share`

    W_k <- a W_k + (1 - a) W_{k-1}, the first member reading the last
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from reprtune.training.parts.exchanges import ExchangeContext
from reprtune.training.parts.exchanges.blending import blend_ring


def exchange(
    members: Sequence[Mapping[str, Tensor]],
    context: ExchangeContext,  # noqa: ARG001 - of the place
    *,
    own_share: float,
) -> None:
    """Blend every entry alike; with two members and a = 0.5 both are equal afterwards, bit for bit."""
    blend_ring(members, lambda _: [(own_share, 1 - own_share)] * len(members))
