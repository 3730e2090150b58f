"""The update rules, with all their state in tensors that are there from the first step.

Everything that varies is a tensor on the device, changed in place, so that nothing waits and a captured step
stays valid: the learning rate, the buffers, the counts of steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.filter_adam import COUNT, FilterAdam

State = dict[str, dict[str, Tensor]]


class Rule(Protocol):
    """What turns gradients into a step."""

    def step(self, overflow: Tensor | None) -> None:
        """Update every parameter that has a gradient; nothing at all where `overflow` is 1."""

    def tensors(self) -> dict[str, Tensor]:
        """What the rule holds beside the state of the parameters, by name."""


class Optimizer:
    """The optimizer of a specification.

    Args:
        spec: optimizer, weight decay and so on. parameters: (name, parameter) of the network.
        lr: learning rate, a scalar tensor on the device; what is written into it holds from the next step.

    Attributes:
        state: kind, such as `momentum` -> parameter's name -> tensor of the parameter's shape, or (`count`)
            of its first two dimensions, the others 1. What belongs to a dropped filter is held still there,
            and reset when it is restored.
    """

    def __init__(
        self, spec: TrainingSpec, parameters: Iterable[tuple[str, nn.Parameter]], lr: Tensor
    ) -> None:
        self.lr = lr
        self._named = dict(parameters)
        self.state = new_state(spec, self._named)
        self._rule = _rule(spec, self._named, self.state, lr)

    def zero_grad(self) -> None:
        for parameter in self._named.values():
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """The gradients of the loss, as the last backward pass left them."""
        return list(self.named_gradients().values())

    def named_gradients(self) -> dict[str, Tensor]:
        """The same by the names of their parameters."""
        return {name: p.grad for name, p in self._named.items() if p.grad is not None}

    def step(self, overflow: Tensor | None = None) -> None:
        """Update the parameters from their gradients.

        Args:
            overflow: scalar float32 on the device, 1 where nothing must move (the gradients are not
                finite), else 0. Nobody waits to see it.
        """
        self._rule.step(overflow)

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue, by name."""
        state = {f"{kind}/{name}": t for kind, group in self.state.items() for name, t in group.items()}
        return state | self._rule.tensors()

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


def new_state(spec: TrainingSpec, named: Mapping[str, nn.Parameter]) -> State:
    """All 0: the first step is then the one torch would take."""
    if spec.optimizer == "sgd":
        kinds = ["momentum"] if spec.momentum > 0 else []
    else:
        kinds = ["exp_avg", "exp_avg_sq"]
    state = {kind: {name: torch.zeros_like(p) for name, p in named.items()} for kind in kinds}
    if spec.optimizer != "sgd" and spec.bias_correction == "filter":
        state[COUNT] = {
            n: torch.zeros([*p.shape[:2], *[1] * (p.dim() - 2)], dtype=p.dtype, device=p.device)
            for n, p in named.items()
        }
    return state


def _rule(spec: TrainingSpec, named: Mapping[str, nn.Parameter], state: State, lr: Tensor) -> Rule:
    if spec.optimizer == "sgd":
        return _Sgd(spec, named, state, lr)
    if spec.bias_correction == "filter":
        return FilterAdam(spec, named, state, lr)
    return _Adam(spec, named, state, lr)


class _Fused:
    """An optimizer of torch, one kernel for all parameters, its buffers those of `state`."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._torch = optimizer

    def step(self, overflow: Tensor | None) -> None:
        if overflow is not None:
            self._torch.found_inf = overflow  # type: ignore[attr-defined]  # as torch.amp.GradScaler sets it
        self._torch.step()

    def tensors(self) -> dict[str, Tensor]:
        return {}


class _Sgd(_Fused):
    def __init__(
        self, spec: TrainingSpec, named: Mapping[str, nn.Parameter], state: State, lr: Tensor
    ) -> None:
        optimizer = torch.optim.SGD(
            named.values(),
            lr=lr,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
            nesterov=spec.nesterov,
            fused=True,
        )
        for name, buffer in state.get("momentum", {}).items():
            optimizer.state[named[name]]["momentum_buffer"] = buffer
        super().__init__(optimizer)


class _Adam(_Fused):
    """Adam (arXiv 1412.6980) and AdamW (arXiv 1711.05101)."""

    def __init__(
        self, spec: TrainingSpec, named: Mapping[str, nn.Parameter], state: State, lr: Tensor
    ) -> None:
        kind = torch.optim.AdamW if spec.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(
            named.values(),
            lr=lr,
            betas=(spec.beta1, spec.beta2),
            eps=spec.eps,
            weight_decay=spec.weight_decay,
            fused=True,
            capturable=lr.is_cuda,
        )
        self._counts = torch.zeros(len(named), device=lr.device)
        for (name, parameter), count in zip(named.items(), self._counts.unbind(), strict=True):
            optimizer.state[parameter] = {
                "step": count,  # a view of one entry: they are saved and loaded as one tensor
                "exp_avg": state["exp_avg"][name],
                "exp_avg_sq": state["exp_avg_sq"][name],
            }
        super().__init__(optimizer)

    def tensors(self) -> dict[str, Tensor]:
        return {"counts": self._counts}
