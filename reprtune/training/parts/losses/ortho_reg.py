"""OrthoReg (arXiv 1611.01967): only filters that are alike are pushed apart.

Notations
    W^          the filters of a layer as rows of length 1 (J, c k k), absent ones 0
    l           locality

    sum over layers of the sum over ordered pairs i, j of different filters of log(1 + exp(l (W^_i . W^_j - 1)))

The gradient by a cosine is l sigmoid(l (cos - 1)): l / 2 for equal filters, and at l = 10 nothing from orthogonal
ones on.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.gram import Penalty, present


class OrthoReg(Penalty):
    def __init__(self, _: LossContext, *, orthoreg_penalty: float, orthoreg_locality: float) -> None:
        super().__init__(orthoreg_penalty, partial(ortho_reg, locality=orthoreg_locality))


def ortho_reg(rows: Tensor, locality: float) -> Tensor:
    """The sum over ordered pairs of different filters that are there."""
    unit, there = F.normalize(rows, dim=1), present(rows)
    pairs = torch.outer(there, there) - torch.diag(there)
    return (pairs * F.softplus(locality * (unit @ unit.T - 1))).sum()
