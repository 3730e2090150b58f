"""Adam and AdamW where every filter counts its own steps (arXiv 1412.6980, algorithm 1; arXiv 1711.05101).

torch.optim keeps one count of steps for each weight tensor. A filter restored late in training then has
averages that begin at 0 but corrections 1 - beta^t that are already 1, and its first update is
(1 - beta1) / sqrt(1 - beta2) times the learning rate: 3.16 with the usual betas.

Notations
    g, m, v     gradient, its average (`exp_avg`) and the average of its square (`exp_avg_sq`), per weight
    n           steps of a weight since it was new or restored (`count`), one number for all weights that
                join the same two channels
    go          1, or 0 where the step must not happen
    c1, c2      1 - beta1^n, 1 - beta2^n

    m += go (1 - beta1) (g - m);  v += go (1 - beta2) (g^2 - v);  n += go
    w -= go lr (m / c1) / (sqrt(v) / sqrt(c2) + eps)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reprtune.spec.training import TrainingSpec

COUNT = "count"


class FilterAdam:
    """Args:
    spec: beta1, beta2, eps, weight decay, `adam` or `adamw`.
    named: the parameters. state: `exp_avg`, `exp_avg_sq` and `count` of each; changed in place.
    lr: learning rate, a scalar tensor.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        named: Mapping[str, nn.Parameter],
        state: Mapping[str, Mapping[str, Tensor]],
        lr: Tensor,
    ) -> None:
        self.spec, self.named, self.state, self.lr = spec, named, state, lr
        self._one = torch.ones((), dtype=lr.dtype, device=lr.device)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    @torch.no_grad()
    def step(self, overflow: Tensor | None) -> None:
        names = [name for name, p in self.named.items() if p.grad is not None]
        weights: list[Tensor] = [self.named[name] for name in names]
        gradients = [p.grad for p in weights if p.grad is not None]
        m, v, n = ([self.state[kind][name] for name in names] for kind in ("exp_avg", "exp_avg_sq", COUNT))
        go = self._one
        if overflow is not None:  # 0 times what is not finite would not be 0
            go, skip = 1 - overflow.to(self.lr.dtype), overflow > 0
            gradients = [torch.where(skip, 0, g) for g in gradients]
        if self.spec.weight_decay > 0:
            gradients = self._decay(weights, gradients, go)
        torch._foreach_add_(n, go, alpha=1)  # without alpha it would read the number `go`, and wait for it
        _move_average(m, gradients, go * (1 - self.spec.beta1))
        _move_average(v, torch._foreach_mul(gradients, gradients), go * (1 - self.spec.beta2))
        self._update(weights, m, v, n, go)

    def _decay(self, weights: list[Tensor], gradients: list[Tensor], go: Tensor) -> list[Tensor]:
        """Apply weight decay: to the weights for `adamw`, to the gradients for `adam`."""
        if self.spec.optimizer == "adamw":
            torch._foreach_mul_(weights, 1 - go * self.lr * self.spec.weight_decay)
            return gradients
        return list(torch._foreach_add(gradients, weights, alpha=self.spec.weight_decay))

    def _update(
        self, weights: list[Tensor], m: list[Tensor], v: list[Tensor], n: list[Tensor], go: Tensor
    ) -> None:
        n = list(torch._foreach_clamp_min(n, 1))  # 0 only where `go` is 0 too
        divisor = torch._foreach_sqrt(v)
        torch._foreach_div_(divisor, torch._foreach_sqrt(_correction(n, self.spec.beta2)))
        torch._foreach_add_(divisor, self.spec.eps)
        torch._foreach_mul_(divisor, _correction(n, self.spec.beta1))
        update = torch._foreach_div(m, divisor)
        torch._foreach_mul_(update, -go * self.lr)
        torch._foreach_add_(weights, update)


def _move_average(averages: list[Tensor], values: tuple[Tensor, ...] | list[Tensor], share: Tensor) -> None:
    change = torch._foreach_sub(values, averages)
    torch._foreach_mul_(change, share)
    torch._foreach_add_(averages, change)


def _correction(n: list[Tensor], beta: float) -> tuple[Tensor, ...]:
    """1 - beta^n, without the cancellation that float32 would have for small n; 1 for beta = 0."""
    if beta == 0:
        return tuple(torch.ones_like(count) for count in n)
    power = torch._foreach_mul(n, math.log(beta))
    torch._foreach_expm1_(power)
    torch._foreach_neg_(power)
    return power
