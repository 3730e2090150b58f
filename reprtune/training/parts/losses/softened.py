"""Imitating softened answers (arXiv 1503.02531).

Notations
    z, u_i      logits of the network and of its teachers (B, K)
    T           temperature

    T^2 KL(mean over i of softmax(u_i / T) || softmax(z / T)), the mean over the batch
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def softened(answers: Tensor, temperature: float) -> Tensor:
    """log softmax(answers / T), (B, K)."""
    return F.log_softmax(answers / temperature, dim=1)


def mean_softened(answers: Sequence[Tensor], temperature: float) -> Tensor:
    """The logarithm of the mean of several teachers' softened answers, (B, K); it does not depend on their order
    but for rounding."""
    each = [softened(z, temperature) for z in answers]
    return each[0] if len(each) == 1 else torch.logsumexp(torch.stack(each), dim=0) - math.log(len(each))


def divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || network), the mean over the batch.

    Args:
        logits: (B, K), of the network. taught: (B, K), logarithms of the teacher's softened answers.
    """
    own = softened(logits, temperature)
    return temperature**2 * F.kl_div(own, taught, reduction="batchmean", log_target=True)
