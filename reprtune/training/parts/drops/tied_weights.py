"""Filters that are gone as their own: each is a cheap spatial transform of one that stays.

A design of our own after the idea of arXiv 2110.12844, of which nothing beyond the abstract is public.

While it lasts the network is trained exactly as one whose parameters are the kept filters alone, of which the
others are made (`surgery.ties` has the notation): after the backward pass the gradients of tied filters are pulled
back to their sources, and after the update W_j = s_j T_j(W_p(j)) is written again. So weight decay counts a kept
filter once, and a tied one has no momentum: the optimizer's state of it stays what it was. What belongs to its
channel alone, bias and BatchNorm, is its own and goes on. Ties, scales included, do not change until they end.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from reprtune.training.parts.drops.filters import Filters
from reprtune.training.surgery.spatial import matrices
from reprtune.training.surgery.subnetwork import SubNetwork
from reprtune.training.surgery.ties import Ties, free, made, nearest, pulled_back, squares

DISTANCE = "tied_distance"


@dataclass(eq=False)
class _Layer:
    """Of one layer, on the device: p(j), M_j, (J,) bool of tied filters shaped as the weight, and the bounds of
    what is held, its values where it must not move and infinity elsewhere."""

    source: Tensor
    maps: Tensor
    tied: Tensor
    low: list[Tensor]
    high: list[Tensor]


class TiedWeights(Filters):
    """Ties filters to the nearest transforms of kept filters of their layer.

    Args:
        network: made with the drop `tied`. static: what acts in a step exists for all layers from the start.
        transforms: the set, as of `surgery.spatial`. fit_scale: is each tie scaled by what fits best?

    Attributes:
        placement: what is transformed. ties: layer -> its ties, of the layers that have some, on the CPU.
        distance: what tying has changed, as the length of the difference of all tied filters relative to that of
            these filters; NaN without any.
    """

    placement: ClassVar[str] = "weights"

    def __init__(
        self, network: SubNetwork, static: bool = False, *, transforms: str, fit_scale: bool = False
    ) -> None:
        super().__init__(network, static)
        self.static, self.transforms, self.fit_scale = static, transforms, fit_scale
        self.ties: dict[str, Ties] = {}
        self.distance = math.nan
        self._layers = {name: self._new(name) for name in network.filters.layers} if static else {}
        self._begin()

    def drop(self, taken: Tensor) -> None:
        """`taken` (F,) bool, on the CPU."""
        super().drop(taken)
        self.ties, self.distance = self._nearest()
        self._begin()
        self.hold()

    def _nearest(self) -> tuple[dict[str, Ties], float]:
        """The ties of those that are taken, and how much they change."""
        found, changed, size = {}, 0.0, 0.0
        for name, dropped in self.taken.items():
            weight, transforms = self._weight(name), self._matrices(name)
            found[name] = nearest(weight, dropped, transforms, self.fit_scale)
            change, own = squares(weight, found[name], transforms)
            changed, size = changed + change, size + own
        return found, math.sqrt(changed / size) if size else 0.0

    @torch.no_grad()
    def gradients(self, named: Mapping[str, Tensor]) -> None:
        for name, layer in self._layers.items():
            if (gradient := named.get(f"{name}.weight")) is not None:
                gradient.copy_(pulled_back(gradient, layer.source, layer.maps))

    @torch.no_grad()
    def hold(self) -> None:
        for name, layer in self._layers.items():
            weight = self._weight(name)
            weight.copy_(torch.where(layer.tied, made(weight, layer.source, layer.maps), weight))
        self._hold_still()

    def _hold_still(self) -> None:
        held = [tensor for name in self._layers for tensor in self._held(name)]
        if held:
            layers = self._layers.values()
            torch._foreach_clamp_min_(held, [low for layer in layers for low in layer.low])
            torch._foreach_clamp_max_(held, [high for layer in layers for high in layer.high])

    def release(self) -> None:
        """The tied filters are their own again, with the weights that they have been made of."""
        super().release()
        self.ties, self.distance = {}, math.nan
        self._begin()

    def plain_model(self) -> nn.Module:
        """A copy of the network, of the structure that it was built with."""
        return copy.deepcopy(self.network.model)

    def numbers(self) -> dict[str, float]:
        return {DISTANCE: self.distance} if self.ties else {}

    def tensors(self) -> dict[str, Tensor]:
        """`{layer}/source`, `transform` and `scale` of the layers with ties, and the distance."""
        if not self.ties:
            return {}
        found = {DISTANCE: torch.tensor(self.distance, dtype=torch.float64)}
        for name, ties in self.ties.items():
            found |= {f"{name}/{key}": getattr(ties, key) for key in ("source", "transform", "scale")}
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        layers = dict.fromkeys(name.rpartition("/")[0] for name in tensors if name != DISTANCE)
        self.ties = {
            name: Ties(*(tensors[f"{name}/{key}"].cpu() for key in ("source", "transform", "scale")))
            for name in layers
        }
        self.distance = float(tensors[DISTANCE]) if tensors else math.nan
        self._begin()

    # -- what acts in a step ----------------------------------------------------------------------

    @torch.no_grad()
    def _begin(self) -> None:
        """What acts says what `ties` say; what is held of tied filters is held at what it is now."""
        if not self.static:
            self._layers = {name: self._new(name) for name in self.ties}
        for name, layer in self._layers.items():
            ties = self.ties.get(name) or free(len(layer.source))
            layer.source.copy_(ties.source)
            layer.maps.copy_(ties.maps(self._matrices(name)))
            layer.tied.copy_(ties.tied.reshape(layer.tied.shape))
            for tensor, low, high in zip(self._held(name), layer.low, layer.high, strict=True):
                low.copy_(torch.where(layer.tied, tensor, -math.inf))
                high.copy_(torch.where(layer.tied, tensor, math.inf))

    def _new(self, name: str) -> _Layer:
        weight, held = self._weight(name), self._held(name)
        (n, _, height, width), device = weight.shape, weight.device
        return _Layer(
            torch.zeros(n, dtype=torch.int64, device=device),
            torch.zeros(n, height * width, height * width, dtype=weight.dtype, device=device),
            torch.zeros(n, 1, 1, 1, dtype=torch.bool, device=device),
            [torch.empty_like(tensor) for tensor in held],
            [torch.empty_like(tensor) for tensor in held],
        )

    def _weight(self, name: str) -> Tensor:
        return self.network.parameters[f"{name}.weight"].detach()

    def _held(self, name: str) -> list[Tensor]:
        """What must not move of a tied filter: the optimizer's states of its weight."""
        return [group[f"{name}.weight"] for group in self.network.state.values() if f"{name}.weight" in group]

    def _matrices(self, name: str) -> Tensor:
        height, width = self._weight(name).shape[2:]
        return matrices(self.transforms, (height, width))
