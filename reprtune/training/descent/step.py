"""One optimizer step. Nothing in it waits for the device or branches on the value of a tensor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.loss_scale import LossScale
from reprtune.training.descent.losses import Loss
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.parts.drops import Dropping
from reprtune.training.parts.drops.filters import Filters
from reprtune.training.platform.device import tf32
from reprtune.training.surgery.subnetwork import SubNetwork

GradientRule = Callable[[SubNetwork, Mapping[str, Tensor]], None]
AUTOCAST = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Step:
    """Trains `network` in place.

    Args:
        rule: what changes the gradients, in place, between backward and update; None = nothing does. Like all
            of a step it must neither wait for the device nor branch on the value of a tensor.
        dropping: how what is gone from the network is kept so; None = as the network itself does.

    Attributes:
        lr: learning rate of the next step, a scalar tensor: write into it.
        loss_sum: of the training losses of the steps since somebody set it to 0, float64.
        loss_scale: of fp16; None otherwise, for bfloat16 has the range of float32.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        network: SubNetwork,
        optimizer: Optimizer,
        loss: Loss,
        rule: GradientRule | None = None,
        dropping: Dropping | None = None,
    ) -> None:
        self.spec, self.network, self.optimizer, self.loss, self.rule = spec, network, optimizer, loss, rule
        self.dropping: Dropping = dropping or Filters(network)
        self.device = optimizer.lr.device
        self.lr = optimizer.lr
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.loss_scale = LossScale(self.device) if spec.precision == "fp16" else None

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Descend on the images x (B, C, H, W) with labels y (B,)."""
        self.optimizer.zero_grad()
        with self.autocast():
            logits = self.network.forward(x)
        loss = self.loss(logits.float(), y, x, self.network)
        if self.loss_scale is None:
            with self._backward():
                loss.backward()  # type: ignore[no-untyped-call]
            overflow = None
        else:
            (loss * self.loss_scale.scale).backward()  # type: ignore[no-untyped-call]
            overflow = self.loss_scale.unscale(self.optimizer.gradients())
        if self.rule is not None:
            with torch.no_grad():
                self.rule(self.network, self.optimizer.named_gradients())
        with torch.no_grad():
            self.dropping.gradients(self.optimizer.named_gradients())
        self.optimizer.step(overflow)
        self.dropping.hold()
        self.loss_sum += loss.detach()

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The precision of forward passes, in training and in evaluation."""
        if self.spec.precision == "tf32":
            return tf32()
        kind = AUTOCAST[self.spec.precision]
        return torch.autocast(self.device.type, kind, enabled=self.spec.precision != "fp32")

    def _backward(self) -> contextlib.AbstractContextManager[None]:
        """Autocast has chosen the types already; TF32 is chosen operation by operation."""
        return tf32() if self.spec.precision == "tf32" else contextlib.nullcontext()

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue, by name."""
        scale = self.loss_scale.tensors() if self.loss_scale is not None else {}
        return self.optimizer.tensors() | scale

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        self.optimizer.load(tensors)
        if self.loss_scale is not None:
            for name, tensor in self.loss_scale.tensors().items():
                tensor.copy_(tensors[name])
