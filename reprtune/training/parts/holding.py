"""What a part keeps of a network in training between two steps, such as clusters or ties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Holding(Protocol):
    """Part of a member's state."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue, by name; empty before the part has begun."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned, of whatever shapes; of an empty one be as at the start."""


@runtime_checkable
class Measuring(Protocol):
    """A part that can say in numbers how far it has come."""

    def numbers(self) -> dict[str, float]:
        """Name -> value as the network stands; waits for the device. `distance` is what may end a phase."""


@runtime_checkable
class Renewing(Protocol):
    """A part that works, in each generation, with the network of the generation before."""

    def renew(self, model: nn.Module) -> None:
        """The network as a generation left it, about to begin anew: what is needed of it is to be copied."""


@runtime_checkable
class Beginning(Protocol):
    """A part that works from a begin on with what the selection has chosen there."""

    def begin(self, chosen: Any) -> dict[str, float]:
        """Work with what was chosen from now on; what there is to be told of it, in numbers."""
