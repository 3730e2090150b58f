"""Which filters are dropped, given their scores.

Notations
    R       score of a filter; higher = dropped first
    p       prune ratio
    J_l     number of filters of layer l
    cap     the largest share of a layer that is dropped
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.parts.selections import Share
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.subnetwork import SubNetwork


def ranked(network: SubNetwork, selection: Share) -> dict[str, Tensor]:
    """Layer -> the weight of its filters, of the layers that are ranked."""
    layers = candidates(network.filters, selection)
    return {name: network.parameters[f"{name}.weight"].detach() for name in layers}


def count(network: SubNetwork, selection: Share) -> int:
    """How many filters each drop takes.

    Raises:
        SpecError: none, although the method means to; or as `candidates`.
    """
    filters = network.filters
    layers = candidates(filters, selection)
    if (n := n_dropped(filters, selection)) == 0:
        raise SpecError(
            f"method.prune_ratio = {selection.prune_ratio} and method.layer_cap = "
            f"{selection.layer_cap} drop none of the {sum(filters.layers[name] for name in layers)} filters "
            "that may be dropped.",
            "Raise them, or take method standard for standard training.",
        )
    return n


def candidates(filters: FilterMap, selection: Share) -> list[str]:
    """The layers whose filters are ranked. `exclude_first` leaves out nothing where every layer reads the
    input.

    Raises:
        SpecError: a pattern of `method.exclude` matches no droppable layer, or no layer is left.
    """
    for pattern in selection.exclude:
        if not any(fnmatchcase(name, pattern) for name in filters.layers):
            raise SpecError(
                f"method.exclude must match droppable layers, but {pattern!r} matches none.",
                f"The droppable layers are {', '.join(filters.layers)}.",
            )
    layers = [n for n in filters.layers if not (selection.exclude_first and n in filters.first)]
    ranked = [n for n in layers or filters.layers if not _is_excluded(n, filters, selection)]
    if not ranked:
        fields = {
            name: getattr(selection, name) for name in ("exclude_first", "exclude_shortcuts", "exclude")
        }
        values = ", ".join(f"method.{name} = {value}" for name, value in fields.items())
        raise SpecError(
            f"At least one layer must be left to rank, but {values} leave out all of them.",
            f"Leave out fewer of {', '.join(filters.layers)}.",
        )
    return ranked


def n_dropped(filters: FilterMap, selection: Share) -> int:
    """Exactly how many filters are dropped: round(p J) over all candidates, or per layer and summed; of each
    layer at most floor(cap J_l), and all but one. Where p asks for more, as many as that allows.

    Raises:
        SpecError: as `candidates`.
    """
    layers = candidates(filters, selection)
    if selection.scope == "layer":
        return sum(_n_of_layer(filters.layers[name], selection) for name in layers)
    wanted = round(selection.prune_ratio * sum(filters.layers[name] for name in layers))
    return min(wanted, sum(_limit(filters.layers[name], selection) for name in layers))


def select(scores: Mapping[str, Tensor], filters: FilterMap, selection: Share) -> Tensor:
    """The filters to drop, (F,) bool on the CPU; `n_dropped` of them.

    Highest scores first; ties are broken by position. Where a layer has given all that it may (its cap; no
    layer is emptied), its other filters are passed over and the next in the ranking dropped in their place.

    Raises:
        SpecError: as `candidates`.
    """
    slices = filters.slices()
    drop = torch.zeros(filters.n_filters, dtype=torch.bool)
    ranked = []
    for name in candidates(filters, selection):
        order = torch.argsort(scores[name], descending=True, stable=True)
        if selection.scope == "layer":
            drop[slices[name].start + order[: _n_of_layer(len(order), selection)]] = True
        else:
            worst = order[: _limit(len(order), selection)]
            ranked += [(-float(scores[name][i]), slices[name].start + int(i)) for i in worst]
    for _, number in sorted(ranked)[: n_dropped(filters, selection)]:
        drop[number] = True
    return drop


def _is_excluded(name: str, filters: FilterMap, selection: Share) -> bool:
    if selection.exclude_shortcuts and name in filters.shortcuts:
        return True
    return any(fnmatchcase(name, pattern) for pattern in selection.exclude)


def _n_of_layer(size: int, selection: Share) -> int:
    """How many of a layer are dropped where each layer is ranked for itself."""
    return min(round(selection.prune_ratio * size), _limit(size, selection))


def _limit(size: int, selection: Share) -> int:
    """The most that are dropped of a layer of this size."""
    share = math.floor(round(selection.layer_cap * size, 9))  # 0.29 * 100 is 28.999999999999996
    return min(share, size - 1)
