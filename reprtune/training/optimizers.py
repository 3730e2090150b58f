"""The update rules, with all their state in tensors that are there from the first step.

Everything that varies is a tensor on the device, changed in place, so that nothing waits and a captured step
stays valid: the learning rate, the buffers, the counts of steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from reprtune.spec.training import TrainingSpec


class Optimizer:
    """The optimizer of a specification.

    Args:
        spec: optimizer, weight decay and so on. parameters: (name, parameter) of the network.
        lr: learning rate, a scalar tensor on the device; what is written into it holds from the next step.

    Attributes:
        state: kind, such as `momentum` -> parameter's name -> tensor of the parameter's shape. What belongs
            to a dropped filter is held still there, and reset when it is restored.
    """

    def __init__(
        self, spec: TrainingSpec, parameters: Iterable[tuple[str, nn.Parameter]], lr: Tensor
    ) -> None:
        named = dict(parameters)
        self.lr = lr
        self.state: dict[str, dict[str, Tensor]] = {}
        self._torch = torch.optim.SGD(
            named.values(),
            lr=lr,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
            nesterov=spec.nesterov,
            fused=True,
        )
        if spec.momentum > 0:  # from 0: the first step is then the one torch would take
            self.state["momentum"] = {name: torch.zeros_like(p) for name, p in named.items()}
            for name, parameter in named.items():
                self._torch.state[parameter]["momentum_buffer"] = self.state["momentum"][name]

    def zero_grad(self) -> None:
        self._torch.zero_grad(set_to_none=True)

    def step(self) -> None:
        self._torch.step()

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue, by name."""
        return {f"{kind}/{name}": t for kind, group in self.state.items() for name, t in group.items()}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])
