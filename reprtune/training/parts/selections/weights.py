"""Which single weights are taken, given their scores (DSD, arXiv 1607.04381).

Notations
    n_l     number of weights of layer l
    r       weight ratio
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.parts.selections import Weights
from reprtune.training.surgery.subnetwork import SubNetwork
from reprtune.training.surgery.weight_layers import weight_layers


def ranked(network: SubNetwork, selection: Weights) -> dict[str, Tensor]:
    """Layer -> its weight, of all convolutions and linear layers that are not left out. `exclude_first` leaves out
    nothing where every layer reads the input.

    Raises:
        SpecError: a pattern of `method.exclude` matches no such layer, or no layer is left.
    """
    layers = weight_layers(network.model)
    for pattern in selection.exclude:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise SpecError(
                f"method.exclude must match convolutions or linear layers, but {pattern!r} matches none.",
                f"They are {', '.join(layers)}.",
            )
    first = network.filters.first if selection.exclude_first else frozenset()
    inner = {name: weight for name, weight in layers.items() if name not in first} or layers
    found = {name: w for name, w in inner.items() if not any(fnmatchcase(name, p) for p in selection.exclude)}
    if not found:
        raise SpecError(
            f"At least one layer must be left to rank, but method.exclude_first = {selection.exclude_first} and "
            f"method.exclude = {selection.exclude} leave out all of them.",
            f"Leave out fewer of {', '.join(layers) or 'them'}.",
        )
    return found


def count(network: SubNetwork, selection: Weights) -> int:
    """How many weights each drop takes.

    Raises:
        SpecError: none, although the method means to; or as `ranked`.
    """
    sizes = [weight.numel() for weight in ranked(network, selection).values()]
    if (n := sum(n_of_layer(size, selection) for size in sizes)) == 0:
        raise SpecError(
            f"method.weight_ratio = {selection.weight_ratio} takes none of the {sum(sizes)} weights.",
            "Raise it, or take method standard for standard training.",
        )
    return n


def n_of_layer(size: int, selection: Weights) -> int:
    """round(r n_l); one weight always stays."""
    return min(round(selection.weight_ratio * size), size - 1)


def select(scores: Mapping[str, Tensor], _filters: object, selection: Weights) -> dict[str, Tensor]:
    """Layer -> bool of the shape of its scores, `n_of_layer` of them True: those with the highest scores, ties
    broken by position."""
    return {name: _highest(s, n_of_layer(s.numel(), selection)) for name, s in scores.items()}


def _highest(scores: Tensor, n: int) -> Tensor:
    order = torch.argsort(scores.flatten(), descending=True, stable=True)
    taken = torch.zeros(scores.numel(), dtype=torch.bool)
    taken[order[:n]] = True
    return taken.reshape(scores.shape)
