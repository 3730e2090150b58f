"""Error and cross-entropy of one or several networks over a part of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Part, Task

Precision = Callable[[], AbstractContextManager[object]]


class Network(Protocol):
    """What can be evaluated."""

    model: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""


@dataclass(frozen=True)
class Evaluation:
    """Attributes:
    loss, error: mean cross-entropy and share of wrong answers; of several networks, the means.
    member_errors: of each network. ensemble_error: of the mean of their probabilities.
    """

    loss: float
    error: float
    member_errors: tuple[float, ...]
    ensemble_error: float


@torch.no_grad()
def evaluate(
    networks: Sequence[tuple[Network, Precision]],
    part: Part,
    task: Task,
    before_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Every network over a part of the data, in evaluation mode, which is training mode again afterwards.

    Args:
        networks: each has its model and gives logits, with the precision of its forward passes.
        before_batch: may raise, to end it there.
    """
    device = part.y.device
    loss = torch.zeros(len(networks), dtype=torch.float64, device=device)
    wrong = torch.zeros(len(networks) + 1, dtype=torch.int64, device=device)
    for network, _ in networks:
        network.model.eval()
    for x, y in evaluation_batches(part, task.mean, task.std):
        before_batch()
        logits = [_logits(network, precision, x) for network, precision in networks]
        for i, z in enumerate(logits):
            loss[i] += F.cross_entropy(z, y, reduction="sum")
            wrong[i] += (z.argmax(1) != y).sum()
        if len(logits) > 1:
            together = torch.stack([z.softmax(1) for z in logits]).mean(0)
            wrong[-1] += (together.argmax(1) != y).sum()
    for network, _ in networks:
        network.model.train()
    losses, errors = (loss / len(part)).tolist(), (wrong.double() / len(part)).tolist()
    mean_error = sum(errors[:-1]) / len(networks)
    ensemble = errors[-1] if len(networks) > 1 else mean_error
    return Evaluation(sum(losses) / len(networks), mean_error, tuple(errors[:-1]), ensemble)


def _logits(network: Network, precision: Precision, x: Tensor) -> Tensor:
    with precision():
        return network.forward(x).float()
