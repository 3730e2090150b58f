"""Optimal Brain Damage for whole filters (LeCun, Denker and Solla 1989), with the empirical Fisher matrix.

Notations
    n       images of the score part            w_i     weights of filter j, i = 1..c k k
    L_b     cross-entropy of image b
    h_ii    1/n sum over b of (dL_b/dw_i)^2, the diagonal of the empirical Fisher matrix: near a minimum it
            stands for that of the Hessian matrix
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, func

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.reading import chunk_size, chunks, evaluating

MAX_GRADIENTS = 2**26  # numbers in the gradients of a chunk: 256 MiB


@torch.no_grad()  # func.grad takes its own gradients; the other parameters need none
def score(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """-1/2 sum over i of h_ii w_i^2: what should raise the loss least is dropped first.

    The weights of the convolution alone; one scale for all layers. Images are taken as many at a time as
    their gradients fit into 256 MiB.
    """
    network = context.network
    weights = {name: filters[name].detach() for name in filters}
    gradients = func.vmap(func.grad(_loss, argnums=1), in_dims=(None, None, 0, 0))
    n_weights = sum(weight.numel() for weight in weights.values())
    size = min(chunk_size(network.filters), max(1, MAX_GRADIENTS // n_weights))
    totals: dict[str, Tensor] = {}
    n_images = 0
    with evaluating(network.model):
        for x, y in chunks(context, size):
            n_images += len(y)
            for name, gradient in gradients(network.model, weights, x, y).items():
                squares = (gradient * weights[name]).flatten(2).square()
                totals[name] = totals.get(name, 0) + squares.sum((0, 2), dtype=torch.float64)
    return {name: (-total / (2 * n_images)).cpu() for name, total in totals.items()}


def _loss(model: torch.nn.Module, weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """L_b of one image (C, H, W)."""
    used = {f"{name}.weight": weight for name, weight in weights.items()}
    return F.cross_entropy(func.functional_call(model, used, (x[None],)).float(), y[None])
