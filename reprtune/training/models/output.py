"""What a network that is not ours must give: one score per image and class."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from reprtune.errors import ModelError


def try_forward(model: nn.Module, in_channels: int, input_size: tuple[int, int], *, training: bool) -> Any:
    """What the network makes of two blank images; itself it stays as it is, statistics included."""
    probe = copy.deepcopy(model).train() if training else model
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            return (probe if training else probe.eval())(torch.zeros(2, in_channels, *input_size))
    finally:
        for module, mode in modes.items():
            module.training = mode


def check_output(name: str, output: Any, n_classes: int, mode: str) -> None:
    """Two images must give a tensor of 2 x n_classes floating-point scores.

    Raises:
        ModelError: what it gave instead, in which mode.
    """
    if not isinstance(output, Tensor):
        raise ModelError(
            f"{name} must return one tensor N x {n_classes}, but in {mode} it returns {_describe(output)}.",
            "Return the class scores alone, without auxiliary heads.",
        )
    if tuple(output.shape) != (2, n_classes):
        raise ModelError(
            f"{name} must return one tensor N x {n_classes}, but in {mode} it makes of 2 images "
            f"{' x '.join(map(str, output.shape)) or 'a single number'}.",
            "Its last layer must give one score per image and class.",
        )
    if not output.is_floating_point():
        raise ModelError(
            f"{name} must return floating-point scores, but in {mode} it returns {output.dtype}.",
            "Return the scores before softmax and argmax.",
        )


def _describe(output: Any) -> str:
    kind = type(output).__name__
    return f"{kind} of {len(output)}" if isinstance(output, (tuple, list, dict)) else kind
