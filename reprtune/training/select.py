"""Which filters are dropped, given their scores.

Notations
    R       score of a filter; higher = dropped first
    p       prune ratio
    J_l     number of filters of layer l
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.spec.method import MethodSpec
from reprtune.training.filter_map import FilterMap


def candidates(filters: FilterMap, method: MethodSpec) -> list[str]:
    """The layers whose filters are ranked."""
    layers = [n for n in filters.layers if not (method.exclude_first and n in filters.first)]
    return layers or list(filters.layers)


def n_dropped(filters: FilterMap, method: MethodSpec) -> int:
    """Exactly how many filters are dropped: round(p J) over all candidates, or per layer and summed;
    at most all but one of each layer."""
    sizes = [filters.layers[name] for name in candidates(filters, method)]
    if method.scope == "layer":
        return sum(min(round(method.prune_ratio * j), j - 1) for j in sizes)
    return min(round(method.prune_ratio * sum(sizes)), sum(j - 1 for j in sizes))


def select(scores: Mapping[str, Tensor], filters: FilterMap, method: MethodSpec) -> Tensor:
    """The filters to drop, (F,) bool on the CPU.

    Highest scores first; ties are broken by position. No layer is emptied: its last filter, the one
    with the lowest score, is passed over and the next in the ranking dropped in its place.
    """
    slices = filters.slices()
    drop = torch.zeros(filters.n_filters, dtype=torch.bool)
    layers = candidates(filters, method)
    if method.scope == "layer":
        for name in layers:
            n = min(round(method.prune_ratio * filters.layers[name]), filters.layers[name] - 1)
            order = torch.argsort(scores[name], descending=True, stable=True)
            drop[slices[name].start + order[:n]] = True
        return drop
    ranked = []
    for name in layers:
        order = torch.argsort(scores[name], descending=True, stable=True)[:-1]
        ranked += [(-float(scores[name][i]), slices[name].start + int(i)) for i in order]
    for _, number in sorted(ranked)[: n_dropped(filters, method)]:
        drop[number] = True
    return drop
