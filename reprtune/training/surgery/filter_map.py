"""The droppable filters of a network, and which numbers belong to each of them: what `find_filters` found.

Notations
    F           number of droppable filters of the network
    owner[i]    filter (0..F-1) that entry i of a tensor's dimension belongs to, or -1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx


@dataclass(frozen=True, eq=False)
class Use:
    """Dimension `dim` of the tensor `name` (a parameter or buffer) belongs to filters: owner[i] or -1."""

    name: str
    dim: int
    owner: Tensor


@dataclass(frozen=True, eq=False)
class MixingCost:
    """Multiply-adds per image of one operation: `macs` for each pair of one output and one input channel that
    it joins. (A channel of a depthwise layer joins one input; of an operation whose channels nobody owns,
    one pair stands for all.)"""

    macs: float
    out_owner: Tensor
    in_owner: Tensor


@dataclass(frozen=True, eq=False)
class FilterMap:
    """What `find_filters` found.

    Attributes:
        layers: droppable convolution -> number of filters, in network order; filter numbers run
            through the layers in this order.
        first: layers that read the network's input.
        kept_out: convolution that cannot be dropped -> the reason.
        masked: parameters that the forward pass takes as 0 where filters are dropped (dimension 0).
        owned: every parameter and buffer region that belongs to a filter: its own, those of its
            per-channel path, what makes its gate, and the kernels of the next layer that read it.
        costs: of every matrix product, convolution and attention, wherever it is called.
        graph: the network as torch.fx traced it in evaluation mode: names and shapes alone, so that it keeps no
            network alive and can be run over one that was moved since, `fx.Interpreter(model, graph=graph)`.
        taps: layer -> node of `graph` where its activation is read: after its own BatchNorm and activation
            function, before pooling and depthwise convolutions, and before the way divides (at a gate made
            from it, or where several layers read it), so that all that is made of a filter is made of this.
            A 0 put there is the filter dropped only where no BatchNorm or depthwise convolution follows.
        norms: layer -> the BatchNorm on the way to its tap, where there is one.
        shortcuts: droppable layers that project the shortcut of a residual block.
        counted: BatchNorm layers that are called once, and whose count of batches nothing else reads.
    """

    layers: Mapping[str, int]
    first: frozenset[str]
    kept_out: Mapping[str, str]
    masked: tuple[Use, ...]
    owned: tuple[Use, ...]
    costs: tuple[MixingCost, ...]
    graph: fx.Graph
    taps: Mapping[str, str]
    norms: Mapping[str, str]
    shortcuts: frozenset[str]
    counted: frozenset[str]

    @property
    def n_filters(self) -> int:
        return sum(self.layers.values())

    def slices(self) -> dict[str, slice]:
        """Layer -> the range of its filter numbers."""
        return slices(self.layers)

    def train_flops(self, keep: Tensor) -> float:
        """Ideal floating-point operations of one training step on one image with the filters in
        `keep` (F,) bool: 2 per multiply-add; forward, gradient by input, gradient by weight."""
        return 6.0 * self.macs(keep)

    def macs(self, keep: Tensor) -> float:
        """Multiply-adds for one image, forward, with the filters in `keep` (F,) bool."""
        present = torch.cat([keep.cpu().double(), torch.ones(1, dtype=torch.float64)])
        return sum(
            c.macs * float(present[c.out_owner].sum()) * float(present[c.in_owner].sum()) for c in self.costs
        )


def slices(layers: Mapping[str, int]) -> dict[str, slice]:
    """Layer -> the range of its filter numbers."""
    ranges, start = {}, 0
    for name, n in layers.items():
        ranges[name] = slice(start, start + n)
        start += n
    return ranges
