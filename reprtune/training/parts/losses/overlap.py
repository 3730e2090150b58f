"""RePr's own penalty (arXiv 1811.07275, section 4).

Notations
    W           the filters of a layer as rows (J, c k k), absent ones 0; W^ with every row divided by its norm

    sum over layers of the sum of |W^ W^T - I|
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from reprtune.training.descent.losses import Term
from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.gram import over_layers
from reprtune.training.surgery.subnetwork import SubNetwork


class Overlap(Term):
    def __init__(self, _: LossContext, *, ortho_penalty: float) -> None:
        self.factor = ortho_penalty

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:  # noqa: ARG002 - of a place
        return self.factor * over_layers(network, overlap)


def overlap(rows: Tensor) -> Tensor:
    """The sum of |cos| over ordered pairs of different filters: the diagonal of W^ W^T - I is 0, and would
    be 1 for a filter that is absent."""
    unit = F.normalize(rows, dim=1)
    cosines = (unit @ unit.T).abs()
    return cosines.sum() - cosines.diagonal().sum()
