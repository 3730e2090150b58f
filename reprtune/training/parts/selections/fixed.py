"""The same filters again and again, drawn once (Knowledge Evolution, arXiv 2103.05152).

There a network is split into what stays in every generation and what is drawn anew. Its kernel-level split (KELS)
takes the first filters of every layer; here they are drawn, in every droppable layer for itself. Its weight-level
split (WELS) draws single weights; there is none of it here.

Notations
    F, J        droppable filters of the network, of a layer
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.subnetwork import SubNetwork


def select(context: ScoreContext, _scores: Mapping[str, Tensor] | None, *, fixed_share: float) -> Tensor:
    """The filters, (F,) bool on the CPU: of each layer `n_fixed`, the same whenever the same member is asked."""
    taken = torch.zeros(context.network.filters.n_filters, dtype=torch.bool)
    for name, numbers in context.network.filters.slices().items():
        size = numbers.stop - numbers.start
        order = torch.randperm(size, generator=generator(context.seed, "fixed", context.member, name))
        taken[numbers.start + order[: n_fixed(size, fixed_share)]] = True
    return taken


def check(network: SubNetwork, *, fixed_share: float) -> None:
    """Raises:
    SpecError: the share takes no filter of any layer, although it is above 0.
    """
    if fixed_share > 0 and not any(n_fixed(size, fixed_share) for size in network.filters.layers.values()):
        raise SpecError(
            f"method.fixed_share = {fixed_share} takes none of the {network.filters.n_filters} filters: of no layer is it as "
            "much as half a filter.",
            "Raise it.",
        )


def n_fixed(size: int, fixed_share: float) -> int:
    """Of a layer of that size: round(share J), but one filter always stays."""
    return min(round(fixed_share * size), size - 1)
