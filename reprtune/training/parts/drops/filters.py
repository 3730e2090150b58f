"""Whole filters are gone: how exactly, the network itself knows (`surgery.subnetwork`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from reprtune.training.surgery.subnetwork import SubNetwork


class Filters:
    """Drops by `SubNetwork.set_keep`.

    Args:
        network: made with the drop that is wanted, and with the same `static`.
    """

    def __init__(self, network: SubNetwork, static: bool = False) -> None:  # noqa: ARG002 - of a place
        self.network = network

    @property
    def is_active(self) -> bool:
        return not bool(self.network.keep.all())

    @property
    def taken(self) -> dict[str, Tensor]:
        gone = ~self.network.keep
        layers = self.network.filters.slices().items()
        return {name: gone[numbers] for name, numbers in layers if gone[numbers].any()}

    def drop(self, taken: Tensor) -> None:
        """`taken` (F,) bool, on the CPU."""
        self.network.set_keep(~taken)

    def whole(self) -> AbstractContextManager[None]:
        return self.network.whole()

    def gradients(self, named: Mapping[str, Tensor]) -> None:
        """Whatever they are, `hold` puts back what must not move."""

    def hold(self) -> None:
        self.network.hold()

    def release(self) -> None:
        self.network.set_keep(torch.ones_like(self.network.keep))

    def train_flops(self) -> float:
        return self.network.train_flops()

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: `network.keep` and `network.whole_state` say all."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        pass
