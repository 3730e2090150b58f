"""What "gone" means, and how it is kept so: one file for each kind of drop.

A drop part is a class made once per member, `Part(network, static)`. At a drop event it is told who was taken;
until the restore it acts in every step, between backward and update (`gradients`) and after the update (`hold`).
It alone changes the network's tensors for what is gone, and keeps aside what stood there.

`static`: steps may be captured as a CUDA graph. What is computed in a step is then the same before, during and
after a drop, and all that differs are numbers of tensors that exist from the start and are changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor

from reprtune.training.surgery.subnetwork import SubNetwork


class Dropping(Protocol):
    """Attributes:
    network: whose filters or weights they are. While something is gone that `keep` does not say, the part sets
        its `is_partial`, so that `network.is_full` is false.
    is_active: is something gone?
    taken: layer -> bool on the CPU or the device, True where gone: of filters (J,), of weights of the shape of
        the layer's weight; layers that are whole are left out.
    """

    network: SubNetwork

    @property
    def is_active(self) -> bool: ...

    @property
    def taken(self) -> Mapping[str, Tensor]: ...

    def drop(self, taken: Any) -> None:
        """Train from now on without these.

        Args:
            taken: what the selection returned: (F,) bool of filters, or layer -> bool of single weights.
        """

    def whole(self) -> AbstractContextManager[None]:
        """Inside, all that is kept aside stands in its place, to be read and to be changed."""

    def gradients(self, named: Mapping[str, Tensor]) -> None:
        """Between backward and update: change the gradients in place, parameter's name -> gradient."""

    def hold(self) -> None:
        """After an update: what is gone is again as it was. Waits for nothing, branches on no tensor's value."""

    def release(self) -> None:
        """The end of the drop: what was kept aside, or changed in `whole`, stands in its place and moves again."""

    def train_flops(self) -> float:
        """Ideal operations of one training step on one image, as the network is now."""

    def tensors(self) -> dict[str, Tensor]:
        """What must be stored beside parameters, buffers, the optimizer's state and `network.keep`, by name;
        empty while nothing is gone."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `tensors` returned, all else loaded; from nothing as at the start."""
