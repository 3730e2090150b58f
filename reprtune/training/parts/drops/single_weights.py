"""Single weights are gone: exactly 0 at every step, and so is their optimizer state (DSD, arXiv 1607.04381).

Left to themselves, momentum and the averages of Adam would move a weight that was set to 0 in the next step, even
with a gradient of 0. So after each update weights and optimizer states are multiplied with a mask, which is 1
everywhere while nothing is gone. What weight decay, momentum or Nesterov's look ahead did to a masked weight is
undone with it: each of them acts within one update, and begins the next one from 0.

Notations
    w, m        a weight and its mask: 1 = present, 0 = gone
    s           any state the optimizer has of it

    w <- m w;  s <- m s         after each update

A count of filter-wise Adam is one number for the k x k weights that join two channels: it is 0 while all of them are
gone, and runs on otherwise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from reprtune.training.surgery.subnetwork import SubNetwork
from reprtune.training.surgery.weight_layers import weight_layers

MASK, OLD = "mask", "old"


class SingleWeights:
    """Drops single weights of any convolution or linear layer.

    Args:
        network: no filter of it is dropped.
        static: masks of all such layers exist from the start and are only ever changed in place.
    """

    def __init__(self, network: SubNetwork, static: bool = False) -> None:
        self.network, self.static = network, static
        self.taken: dict[str, Tensor] = {}  # on the device
        self._old: dict[str, Tensor] = {}  # layer -> what stood there, in the order of its weight, (n,)
        self._cover(weight_layers(network.model) if static else ())

    @property
    def is_active(self) -> bool:
        return bool(self.taken)

    @torch.no_grad()
    def drop(self, taken: Mapping[str, Tensor]) -> None:
        """`taken`: layer -> bool of the shape of its weight."""
        self.release()
        some = {layer: mask for layer, mask in taken.items() if mask.any()}
        self.taken = {layer: mask.to(self._weight(layer).device) for layer, mask in some.items()}
        self._set_aside()
        self._begin()
        self.hold()

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        self._put_back()
        try:
            yield
        finally:
            self._set_aside()

    def gradients(self, named: Mapping[str, Tensor]) -> None:
        """Whatever they are, `hold` makes 0 of what they led to."""

    @torch.no_grad()
    def hold(self) -> None:
        if self._held:
            torch._foreach_mul_(self._held, self._masks)

    def release(self) -> None:
        self._put_back()
        self._forget()

    def train_flops(self) -> float:
        """Those of the whole network: zeros here and there save nothing."""
        return self.network.train_flops()

    def tensors(self) -> dict[str, Tensor]:
        """`{layer}/mask` and `{layer}/old` of the layers that lost some."""
        masks = {f"{layer}/{MASK}": mask for layer, mask in self.taken.items()}
        return masks | {f"{layer}/{OLD}": old for layer, old in self._old.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self._forget()
        for name, tensor in tensors.items():
            layer, _, kind = name.rpartition("/")
            there = {MASK: self.taken, OLD: self._old}[kind]
            there[layer] = tensor.to(self._weight(layer).device, copy=True)
        self._begin()

    # -- what is aside ----------------------------------------------------------------------------

    @torch.no_grad()
    def _set_aside(self) -> None:
        """What stands there is kept first, so that nothing is lost if this is interrupted."""
        for layer, mask in self.taken.items():
            weight = self._weight(layer)
            self._old[layer] = weight[mask]
            weight.masked_fill_(mask, 0)

    @torch.no_grad()
    def _put_back(self) -> None:
        for layer, old in self._old.items():
            self._weight(layer)[self.taken[layer]] = old

    def _forget(self) -> None:
        self.taken, self._old = {}, {}
        self._begin()

    def _weight(self, layer: str) -> Tensor:
        return self.network.parameters[f"{layer}.weight"].detach()

    # -- what is held -----------------------------------------------------------------------------

    @torch.no_grad()
    def _begin(self) -> None:
        """The masks say what `taken` says."""
        self.network.is_partial = self.is_active
        if not self.static:
            self._cover(self.taken)
        for layer, mask in self._mask_of.items():
            mask.fill_(1)
            if layer in self.taken:
                mask.masked_fill_(self.taken[layer], 0)
        for tensor, mask, layer in self._shared:
            mask.copy_(_any_of(self._mask_of[layer], tensor))

    def _cover(self, layers: Iterable[str]) -> None:
        """Hold these layers, with new masks, 1 everywhere."""
        self._held: list[Tensor] = []
        self._masks: list[Tensor] = []  # of each of them; some are one and the same
        self._mask_of: dict[str, Tensor] = {}  # layer -> that of its weight
        self._shared: list[tuple[Tensor, Tensor, str]] = []  # (state, its mask, layer) of another shape
        for layer in layers:
            weight, mask = self._weight(layer), torch.ones_like(self._weight(layer))
            self._mask_of[layer] = mask
            self._held.append(weight)
            self._masks.append(mask)
            for state in self._states(layer):
                own = mask if state.shape == mask.shape else torch.ones_like(state)
                if own is not mask:
                    self._shared.append((state, own, layer))
                self._held.append(state)
                self._masks.append(own)

    def _states(self, layer: str) -> list[Tensor]:
        name = f"{layer}.weight"
        return [group[name] for group in self.network.state.values() if name in group]


def _any_of(mask: Tensor, state: Tensor) -> Tensor:
    """1 where some of the weights that share an entry of the state are present; the state has 1 in the dimensions
    over which they do."""
    dims = [d for d in range(mask.dim()) if state.shape[d] == 1]
    return mask.amax(dims, keepdim=True)
