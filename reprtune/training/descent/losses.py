"""What a step descends: the cross-entropy, and what the losses of a method add to it.

Notations
    z, y        logits of the network (B, K) and labels (B,)
    L_i, w_i    what loss i adds, and the share of the cross-entropy whose place it takes (0: none)

    (1 - sum of w_i) CE(z, y) + sum of L_i
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from reprtune.training.surgery.subnetwork import SubNetwork


class Term:
    """Something added to the cross-entropy. What varies between steps is a tensor on the device, changed in place.

    Attributes:
        of_labels: the share of the cross-entropy whose place it takes: a number, or a scalar on the device; None
            where it takes none.
        digest: of what it reads that is no part of the trial's specification; None where there is no such thing.
    """

    of_labels: float | Tensor | None = None
    digest: str | None = None

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:
        """A scalar on the device, its factor included.

        Args:
            logits: (B, K) float32. labels: (B,). images: (B, C, H, W).
            network: what made the logits; its `filter_weights` are those of this step.
        """
        raise NotImplementedError

    def before_step(self, step: int) -> None:
        """Called before every step of the trial, outside of what is captured."""

    def flops_per_image(self) -> float:
        """Ideal operations of a step on one image that are no part of the network's own."""
        return 0.0


class Loss:
    """The training loss of a trial.

    Args:
        label_smoothing: share of each label that is spread over all classes.
        terms: what is added.
    """

    def __init__(self, label_smoothing: float = 0.0, terms: Sequence[Term] = ()) -> None:
        self.label_smoothing, self.terms = label_smoothing, tuple(terms)

    def __call__(self, logits: Tensor, y: Tensor, x: Tensor, network: SubNetwork) -> Tensor:
        """A scalar on the device; the arguments are those of a term."""
        loss = F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        if taken := [term.of_labels for term in self.terms if term.of_labels is not None]:
            loss = (1 - sum(taken)) * loss
        for term in self.terms:
            loss = loss + term(logits, y, x, network)
        return loss

    def before_step(self, step: int) -> None:
        for term in self.terms:
            term.before_step(step)

    def flops_per_image(self) -> float:
        """Ideal operations of a step on one image beside those of the network that is trained."""
        return sum(term.flops_per_image() for term in self.terms)
