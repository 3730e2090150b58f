"""Soft orthogonality (arXiv 1810.09102): the sum over layers of |W W^T - I|_F^2.

W holds the filters of a layer as rows (J, c k k), as they are, so that their lengths are drawn to 1 too.
"""

from __future__ import annotations

from torch import Tensor

from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.gram import Penalty, gram_minus_identity


class SoftOrthogonality(Penalty):
    def __init__(self, _: LossContext, *, so_penalty: float) -> None:
        super().__init__(so_penalty, soft_orthogonality)


def soft_orthogonality(rows: Tensor) -> Tensor:
    """|W W^T - I|_F^2."""
    return gram_minus_identity(rows).square().sum()
