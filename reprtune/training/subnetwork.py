"""The network with and without some of its filters.

While filters are dropped the network computes exactly what a network built without them would, and
nothing that belongs to them moves: weights, momentum, BatchNorm parameters and statistics, and the
next layer's kernels that read them. (Left to themselves, momentum revives a zeroed filter in one
step, and BatchNorm's shift leaks through it.)
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    def __init__(
        self, model: nn.Module, filters: FilterMap, state: Mapping[str, Mapping[str, Tensor]]
    ) -> None:
        self.model = model
        self.filters = filters
        self.state = state
        self.parameters = dict(model.named_parameters())
        self.buffers = dict(model.named_buffers())
        self.keep = torch.ones(filters.n_filters, dtype=torch.bool)
        self._masks: dict[str, Tensor] = {}
        self._held = _Held([], [], [])

    @property
    def is_full(self) -> bool:
        return bool(self.keep.all())

    def set_keep(self, keep: Tensor) -> None:
        """Train from now on with exactly the filters in `keep` (F,) bool, on the CPU."""
        self.keep = keep.clone()
        self._masks = {}
        self._held = _Held([], [], [])
        if self.is_full:
            return
        for use in self.filters.masked:
            mask = self._mask([use])
            self._masks[use.name] = mask if use.name not in self._masks else self._masks[use.name] * mask
        for name, mask in self.absent_regions().items():
            for tensor in self._tensors(name):
                self._held.tensors.append(tensor)
                self._held.masks.append(mask)
                self._held.frozen.append(tensor.detach() * (1 - mask))

    def absent_regions(self) -> dict[str, Tensor]:
        """Parameter or buffer -> mask (broadcastable), 0 where it belongs to a dropped filter."""
        uses: dict[str, list[Use]] = {}
        for use in self.filters.owned:
            uses.setdefault(use.name, []).append(use)
        masks = {name: self._mask(group) for name, group in uses.items()}
        return {name: mask for name, mask in masks.items() if not bool(mask.all())}

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the network as it is now."""
        if not self._masks:
            return self.model(x)
        return functional_call(self.model, {n: self.parameters[n] * m for n, m in self._masks.items()}, (x,))

    def filter_weights(self) -> dict[str, Tensor]:
        """Droppable layer -> its filters as they are used now, absent ones 0; with their gradients."""
        weights = {name: self.parameters[f"{name}.weight"] for name in self.filters.layers}
        masks = self._masks
        return {n: w * masks[k] if (k := f"{n}.weight") in masks else w for n, w in weights.items()}

    @torch.no_grad()
    def hold(self) -> None:
        """After a step: put back everything that belongs to dropped filters."""
        if self._held.tensors:
            torch._foreach_mul_(self._held.tensors, self._held.masks)
            torch._foreach_add_(self._held.tensors, self._held.frozen)

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
