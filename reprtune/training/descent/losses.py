"""What a step descends: cross-entropy, and what a specification adds to it.

Notations
    z, u        logits of the network and of its teacher (B, K)
    T, w        temperature of the teacher and its share of the loss
    W           the filters of a layer as rows (J, c k k), absent ones 0; W^ with every row divided by its norm

    distillation    (1 - w) CE(z, y) + w T^2 KL(softmax(u / T) || softmax(z / T))   (arXiv 1503.02531)
    penalty         sum over layers of the sum of |W^ W^T - I|                      (arXiv 1811.07275, section 4)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.teacher import Teacher
from reprtune.training.surgery.subnetwork import SubNetwork


class Loss:
    """The training loss of a specification.

    Args:
        spec: label smoothing, penalty and the teacher's share.
        teacher: who is learned from; None = nobody.
    """

    def __init__(self, spec: TrainingSpec, teacher: Teacher | None = None) -> None:
        self.spec, self.teacher = spec, teacher

    def __call__(self, logits: Tensor, y: Tensor, x: Tensor, network: SubNetwork) -> Tensor:
        """A scalar on the device.

        Args:
            logits: (B, K) float32. y: labels (B,). x: the images (B, C, H, W).
            network: what made the logits; its `filter_weights` are those of this step.
        """
        spec = self.spec
        loss = F.cross_entropy(logits, y, label_smoothing=spec.label_smoothing)
        if self.teacher is not None:
            softened = distillation(logits, self.teacher(x), spec.teacher_temperature)
            loss = (1 - spec.teacher_weight) * loss + spec.teacher_weight * softened
        if spec.ortho_penalty > 0:
            loss = loss + spec.ortho_penalty * penalty(list(network.filter_weights().values()))
        return loss


def distillation(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(answers / T) || softmax(logits / T)), the mean over the batch.

    Args:
        logits, answers: (B, K), of the network and of its teacher.
    """
    own, taught = (F.log_softmax(z / temperature, dim=1) for z in (logits, answers))
    return temperature**2 * F.kl_div(own, taught, reduction="batchmean", log_target=True)


def penalty(weights: list[Tensor]) -> Tensor:
    """The sum over layers of the sum of |W^ W^T - I|; filters that are 0 count nothing and get no gradient.

    Args:
        weights: per layer (J, c, k, k).
    """
    return torch.stack([_overlaps(weight) for weight in weights]).sum()


def _overlaps(weight: Tensor) -> Tensor:
    """The sum of |cos| over ordered pairs of different filters: the diagonal of W^ W^T - I is 0, and would
    be 1 for a filter that is absent."""
    rows = F.normalize(weight.flatten(1), dim=1)
    cosines = (rows @ rows.T).abs()
    return cosines.sum() - cosines.diagonal().sum()
