"""RePr's own penalty (arXiv 1811.07275, section 4).

Notations
    W           the filters of a layer as rows (J, c k k), absent ones 0; W^ with every row divided by its norm

    sum over layers of the sum of |W^ W^T - I|
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.gram import Penalty


class Overlap(Penalty):
    def __init__(self, _: LossContext, *, ortho_penalty: float) -> None:
        super().__init__(ortho_penalty, overlap)


def overlap(rows: Tensor) -> Tensor:
    """The sum of |cos| over ordered pairs of different filters: the diagonal of W^ W^T - I is 0, and would
    be 1 for a filter that is absent."""
    unit = F.normalize(rows, dim=1)
    cosines = (unit @ unit.T).abs()
    return cosines.sum() - cosines.diagonal().sum()
