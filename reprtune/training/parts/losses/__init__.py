"""The losses of the place `losses`: one class in each file, made once for every member of a trial.

One of the person's own is a function `loss(logits, labels, images, network, **options)` that returns a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.part import Own
from reprtune.training.data.task import Task
from reprtune.training.descent.losses import Term
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.surgery.subnetwork import SubNetwork


@dataclass(frozen=True, eq=False)
class LossContext:
    """What a loss is made with, besides its options.

    Attributes:
        task: the data. steps_per_epoch: of a member. device: where everything lives.
        network: of the member. shared: what the members of a trial have in common, by a key of its maker.
    """

    task: Task
    steps_per_epoch: int
    device: torch.device
    network: SubNetwork
    shared: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, which is called only for the first member."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]


class Function(Term):
    """A loss that is a plain function of a step."""

    def __init__(self, loss: Callable[..., Tensor]) -> None:
        self._loss = loss

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:
        return self._loss(logits, labels, images, network)


def made(method: MethodSpec, context: LossContext) -> Iterator[Term]:
    """The losses of a method for one member.

    Raises:
        SpecError, PartError: as `behaviour`, or because what a loss reads is not there.
    """
    for part in method.losses:
        rule = behaviour(part)
        yield Function(rule) if isinstance(part, Own) else rule(context)
