"""Soft orthogonality (arXiv 1810.09102): the sum over layers of |W W^T - I|_F^2.

W holds the filters of a layer as rows (J, c k k), as they are, so that their lengths are drawn to 1 too.
"""

from __future__ import annotations

from torch import Tensor

from reprtune.training.descent.losses import Term
from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.gram import gram_minus_identity, over_layers
from reprtune.training.surgery.subnetwork import SubNetwork


class SoftOrthogonality(Term):
    def __init__(self, _: LossContext, *, so_penalty: float) -> None:
        self.factor = so_penalty

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:  # noqa: ARG002 - of a place
        return self.factor * over_layers(network, soft_orthogonality)


def soft_orthogonality(rows: Tensor) -> Tensor:
    """|W W^T - I|_F^2."""
    return gram_minus_identity(rows).square().sum()
