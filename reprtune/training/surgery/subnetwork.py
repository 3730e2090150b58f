"""The network with and without some of its filters.

While filters are dropped exactly, the network computes what a network built without them would, and
nothing that belongs to them moves: weights, momentum, BatchNorm parameters and statistics, and the
next layer's kernels that read them. (Left to themselves, momentum revives a zeroed filter in one
step, and BatchNorm's shift leaks through it.) Dropped as weights only, their weights are used as 0 and
do not move, and everything else lives on.

Either way a dropped filter keeps its numbers. Where the forward pass must take 0, 0 is written into the
parameters, and what stood there is kept aside until the filters are back; so a step costs no more than one of
the network alone, but for `hold`, which puts back after it what must not move.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reprtune.training.surgery.filter_map import FilterMap, Use


@dataclass
class _Held:
    """Tensors, and the least and the most that each of their entries may be: its value where it must not
    move, infinity elsewhere.

    Bounds have the shape and the strides of their tensor; else torch would start a kernel for each of them.
    """

    tensors: list[Tensor]
    low: list[Tensor]
    high: list[Tensor]


class SubNetwork:
    """Drops and restores filters of `model`.

    Args:
        model: trained in place. While filters are dropped, some of its parameters' numbers are kept aside, and
            0 stands in their place: see `whole` and `whole_state`.
        filters: what `find_filters` found in it.
        state: of the optimizer: kind -> parameter's name -> tensor of the parameter's shape.
        drop: `exact`, or `weights-only`: see the module's text; or `tied`: `keep` says who, and nothing is changed
            or held here.
        static: bounds of everything that could be dropped exist from the start and are only ever changed in
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
        self.is_partial = False  # set by who leaves out something else than filters
        self._aside: dict[str, tuple[Tensor, Tensor]] = {}  # parameter -> rows that are 0, what stood there
        self._present: dict[str, Tensor] = {}  # layer -> mask of its weight
        self._held = _Held([], [], [])
        self.set_keep(torch.ones(filters.n_filters, dtype=torch.bool))

    @property
    def is_full(self) -> bool:
        return bool(self.keep.all()) and not self.is_partial

    @torch.no_grad()
    def set_keep(self, keep: Tensor) -> None:
        """Train from now on with exactly the filters in `keep` (F,) bool, on the CPU."""
        self._put_back()
        self.keep = keep.clone()
        exact, own = self.drop == "exact", [] if self.drop == "tied" else self._own_weights()
        self._set_aside(self.filters.masked if exact else own)
        uses: Iterable[Use] = self.filters.owned if exact else own
        masks = self._regions(uses if self.static else filter(self._is_cut, uses))
        present = {n: masks[f"{n}.weight"] for n in self.filters.layers if f"{n}.weight" in masks}
        held = self._bounds(masks)
        if not (self.static and self._held.tensors):
            self._present, self._held = present, held
            return
        torch._foreach_copy_(list(self._present.values()), list(present.values()))
        torch._foreach_copy_(self._held.low, held.low)
        torch._foreach_copy_(self._held.high, held.high)

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, all numbers of dropped filters stand in their places, to be read and to be changed."""
        self._put_back()
        try:
            yield
        finally:
            self.set_keep(self.keep)

    def whole_state(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, all numbers of dropped filters in their places."""
        state: dict[str, Tensor] = self.model.state_dict()
        for name, (rows, numbers) in self._aside.items():
            state[name] = state[name].index_copy(0, rows, numbers)
        return state

    def absent_regions(self, *dims: int) -> dict[str, Tensor]:
        """Parameter or buffer -> mask (broadcastable), 0 where it belongs to a dropped filter.

        Args:
            dims: only what belongs along these dimensions: 0 = the filter itself and its path, 1 = the kernels
                that read it. None = both.
        """
        uses = (use for use in self.filters.owned if not dims or use.dim in dims)
        return self._regions(filter(self._is_cut, uses))

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the network as it is now."""
        return self.model(x)

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
            torch._foreach_clamp_min_(self._held.tensors, self._held.low)
            torch._foreach_clamp_max_(self._held.tensors, self._held.high)

    def _set_aside(self, uses: Iterable[Use]) -> None:
        """Write 0 into the rows of dropped filters. What stood there is kept first, so that nothing is lost
        if this is interrupted."""
        for use in filter(self._is_cut, uses):
            tensor = self.parameters[use.name].detach()
            rows = (~self._is_present(use)).nonzero().flatten().to(tensor.device)
            self._aside[use.name] = (rows, tensor.index_select(0, rows))
            tensor.index_fill_(0, rows, 0)

    @torch.no_grad()
    def _put_back(self) -> None:
        for name, (rows, numbers) in self._aside.items():
            self.parameters[name].detach().index_copy_(0, rows, numbers)
        self._aside = {}

    def _own_weights(self) -> list[Use]:
        ranges = self.filters.slices().items()
        return [Use(f"{name}.weight", 0, torch.arange(r.start, r.stop)) for name, r in ranges]

    def _is_present(self, use: Use) -> Tensor:
        """Along the use's dimension."""
        return torch.cat([self.keep, torch.ones(1, dtype=torch.bool)])[use.owner]

    def _is_cut(self, use: Use) -> bool:
        """Does some of it belong to a dropped filter?"""
        return not bool(self._is_present(use).all())

    def _regions(self, uses: Iterable[Use]) -> dict[str, Tensor]:
        """Parameter or buffer -> mask, 0 where it belongs to a dropped filter by one of its uses."""
        groups: dict[str, list[Use]] = {}
        for use in uses:
            groups.setdefault(use.name, []).append(use)
        return {name: self._mask(group) for name, group in groups.items()}

    def _bounds(self, masks: Mapping[str, Tensor]) -> _Held:
        pairs = [(tensor, mask.bool()) for name, mask in masks.items() for tensor in self._tensors(name)]
        low, high = (
            [tensor.clone().masked_fill_(mask, limit) for tensor, mask in pairs]
            for limit in (-math.inf, math.inf)
        )
        return _Held([tensor for tensor, _ in pairs], low, high)

    def _tensors(self, name: str) -> list[Tensor]:
        if name in self.buffers:
            return [self.buffers[name]]
        return [self.parameters[name], *(group[name] for group in self.state.values() if name in group)]

    def _mask(self, uses: list[Use]) -> Tensor:
        """1 where present, 0 where absent, shaped to broadcast over the tensor."""
        tensor = self.parameters.get(uses[0].name, self.buffers.get(uses[0].name))
        assert tensor is not None
        mask = torch.ones([1] * tensor.dim())
        for use in uses:
            shape = [1] * tensor.dim()
            shape[use.dim] = -1
            mask = mask * self._is_present(use).float().reshape(shape)
        return mask.to(tensor.device)
