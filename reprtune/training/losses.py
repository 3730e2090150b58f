"""What a step descends."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from reprtune.spec.training import TrainingSpec
from reprtune.training.subnetwork import SubNetwork


class Loss:
    """The training loss of a specification.

    Args:
        spec: label smoothing, penalty and teacher.
    """

    def __init__(self, spec: TrainingSpec) -> None:
        self.spec = spec

    def __call__(self, logits: Tensor, y: Tensor, _x: Tensor, _network: SubNetwork) -> Tensor:
        """A scalar on the device.

        Args:
            logits: (B, K) float32. y: labels (B,). x: the images (B, C, H, W).
            network: what made the logits; its `filter_weights` are those of this step.
        """
        return F.cross_entropy(logits, y, label_smoothing=self.spec.label_smoothing)
