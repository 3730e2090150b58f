"""The products of a layer's filters with each other, which all penalties are made of.

Filters that are absent are rows of 0: they belong to no pair, and get no gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reprtune.training.descent.losses import Term
from reprtune.training.surgery.subnetwork import SubNetwork


class Penalty(Term):
    """A factor times what `of_layer` says of the filters of a layer as rows (J, c k k), summed over layers."""

    def __init__(self, factor: float, of_layer: Callable[[Tensor], Tensor]) -> None:
        self.factor, self._of_layer = factor, of_layer

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:  # noqa: ARG002 - of a place
        return self.factor * over_layers(network, self._of_layer)


def over_layers(network: SubNetwork, penalty: Callable[[Tensor], Tensor]) -> Tensor:
    """The sum over all layers whose filters can be dropped of the penalty of their filters as they are used now,
    one per row (J, c k k)."""
    weights = network.filter_weights().values()
    return torch.stack([penalty(weight.flatten(1)) for weight in weights]).sum()


def present(rows: Tensor) -> Tensor:
    """(J,) 1 where a row has a number, 0 where all are 0."""
    return (rows.detach() != 0).any(dim=1).to(rows.dtype)


def gram_minus_identity(rows: Tensor) -> Tensor:
    """W W^T - I (J, J); without the 1 of absent rows, so that theirs are 0 throughout."""
    return rows @ rows.T - torch.diag(present(rows))
