"""The network with and without some of its filters.

While filters are dropped exactly, the network computes what a network built without them would, and
nothing that belongs to them moves: weights, momentum, BatchNorm parameters and statistics, and the
next layer's kernels that read them. (Left to themselves, momentum revives a zeroed filter in one
step, and BatchNorm's shift leaks through it.) Dropped as weights only, their weights are used as 0 and
do not move, and everything else lives on.

Either way a dropped filter keeps its numbers; it is the forward pass that takes 0 for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from reprtune.training.filter_map import FilterMap, Use


@dataclass
class _Held:
    """Tensors of which some entries must not move: `mask` is 0 there, `frozen` their value."""

    tensors: list[Tensor]
    masks: list[Tensor]
    frozen: list[Tensor]


class SubNetwork:
    """Drops and restores filters of `model`.

    Args:
        model: trained in place.
        filters: what `find_filters` found in it.
        state: of the optimizer: kind -> parameter's name -> tensor of the parameter's shape.
        drop: `exact`, or `weights-only`: see the module's text.
        static: masks for everything that could be dropped exist from the start and are only ever changed in
            place, so that a captured step serves every phase; the results are the same, the full network is
            a little slower.
    """

    def __init__(
        self,
        model: nn.Module,
        filters: FilterMap,
        state: Mapping[str, Mapping[str, Tensor]],
        drop: str = "exact",
        static: bool = False,
    ) -> None:
        self.model = model
        self.filters = filters
        self.state = state
        self.drop, self.static = drop, static
        self.parameters = dict(model.named_parameters())
        self.buffers = dict(model.named_buffers())
        self._masks: dict[str, Tensor] = {}
        self._present: dict[str, Tensor] = {}  # layer -> mask of its weight
        self._held = _Held([], [], [])
        self.set_keep(torch.ones(filters.n_filters, dtype=torch.bool))

    @property
    def is_full(self) -> bool:
        return bool(self.keep.all())

    def set_keep(self, keep: Tensor) -> None:
        """Train from now on with exactly the filters in `keep` (F,) bool, on the CPU."""
        self.keep = keep.clone()
        exact = self.drop == "exact"
        own = [] if exact else self._own_weights()
        masks = self._regions(self.filters.masked if exact else own)
        held = self._regions(self.filters.owned if exact else own)
        weights = {n: held[f"{n}.weight"] for n in self.filters.layers}
        if not self.static:
            self._present = {} if self.is_full else weights
            self._masks = {} if self.is_full else masks
            self._held = self._hold({name: mask for name, mask in held.items() if not bool(mask.all())})
        elif not self._masks:
            self._masks, self._held, self._present = masks, self._hold(held), weights
        else:
            new = self._hold(held)
            torch._foreach_copy_(list(self._masks.values()), list(masks.values()))
            torch._foreach_copy_(list(self._present.values()), list(weights.values()))
            torch._foreach_copy_(self._held.masks, new.masks)
            torch._foreach_copy_(self._held.frozen, new.frozen)

    def absent_regions(self, *dims: int) -> dict[str, Tensor]:
        """Parameter or buffer -> mask (broadcastable), 0 where it belongs to a dropped filter.

        Args:
            dims: only what belongs along these dimensions: 0 = the filter itself and its path, 1 = the kernels
                that read it. None = both.
        """
        masks = self._regions(use for use in self.filters.owned if not dims or use.dim in dims)
        return {name: mask for name, mask in masks.items() if not bool(mask.all())}

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the network as it is now."""
        if not self._masks:
            return self.model(x)
        return functional_call(self.model, self._masked(), (x,))

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers by name as the forward pass takes them: 0 for what is dropped."""
        return {**self.model.state_dict(), **self._masked()}

    def _masked(self) -> dict[str, Tensor]:
        return {n: self.parameters[n] * m for n, m in self._masks.items()}

    def filter_weights(self) -> dict[str, Tensor]:
        """Droppable layer -> its filters as they are used now, with their gradients; 0 are those that are
        absent, and what would read absent channels."""
        weights = {name: self.parameters[f"{name}.weight"] for name in self.filters.layers}
        return {n: w * self._present[n] if n in self._present else w for n, w in weights.items()}

    def train_flops(self) -> float:
        """Ideal operations of one training step on one image, as the network is now. A filter whose weights
        alone are dropped is computed with."""
        return self.filters.train_flops(self.keep if self.drop == "exact" else torch.ones_like(self.keep))

    @torch.no_grad()
    def hold(self) -> None:
        """After a step: put back everything that belongs to dropped filters."""
        if self._held.tensors:
            torch._foreach_mul_(self._held.tensors, self._held.masks)
            torch._foreach_add_(self._held.tensors, self._held.frozen)

    def _own_weights(self) -> list[Use]:
        ranges = self.filters.slices().items()
        return [Use(f"{name}.weight", 0, torch.arange(r.start, r.stop)) for name, r in ranges]

    def _regions(self, uses: Iterable[Use]) -> dict[str, Tensor]:
        """Parameter or buffer -> mask, 0 where it belongs to a dropped filter by one of its uses."""
        groups: dict[str, list[Use]] = {}
        for use in uses:
            groups.setdefault(use.name, []).append(use)
        return {name: self._mask(group) for name, group in groups.items()}

    def _hold(self, masks: Mapping[str, Tensor]) -> _Held:
        pairs = [(tensor, mask) for name, mask in masks.items() for tensor in self._tensors(name)]
        frozen = [tensor.detach() * (1 - mask) for tensor, mask in pairs]
        return _Held([tensor for tensor, _ in pairs], [mask for _, mask in pairs], frozen)

    def _tensors(self, name: str) -> list[Tensor]:
        if name in self.buffers:
            return [self.buffers[name]]
        return [self.parameters[name], *(group[name] for group in self.state.values() if name in group)]

    def _mask(self, uses: list[Use]) -> Tensor:
        """1 where present, 0 where absent, shaped to broadcast over the tensor."""
        tensor = self.parameters.get(uses[0].name, self.buffers.get(uses[0].name))
        assert tensor is not None
        present = torch.cat([self.keep, torch.ones(1, dtype=torch.bool)])
        mask = torch.ones([1] * tensor.dim())
        for use in uses:
            shape = [1] * tensor.dim()
            shape[use.dim] = -1
            mask = mask * present[use.owner].float().reshape(shape)
        return mask.to(tensor.device)
