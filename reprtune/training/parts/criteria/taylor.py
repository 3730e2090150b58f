"""First-order estimates of what the loss does without a filter.

Both come from a gate on every filter: its activation is multiplied by g_bj = 1. With g = 0 nothing of the
filter would be left in image b, so that the loss would change by -dL/dg to first order. (Where a BatchNorm or
a depthwise convolution with a bias comes after the tap, a drop silences these too; the gate does not.)

Notations
    n       images of the score part            M       pixels of an activation, H W
    L_b     cross-entropy of image b            a_bj    activation of filter j for image b (H, W)
    g_bj    gate of filter j for image b; dL_b/dg_bj = sum over H, W of a_bj dL_b/da_bj
    Z       consecutive images of the score part: 64, the last time fewer
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.reading import Reader, chunk_size, chunks, evaluating

GATE_BATCH = 64  # images whose gradients are averaged before they are squared: the size is part of the score
TINY = torch.finfo(torch.float64).tiny


def score(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """-T_j / |T|, T_j = 1/n sum over b of |1/M sum over H, W of a_bj dL_b/da_bj| (arXiv 1611.06440, eq. 8).

    |T| is the Euclidean norm over the filters of the layer, so that M cancels; all 0 where it is 0.
    """
    totals: dict[str, Tensor] = {}
    for gradients in gate_gradients(filters, context, chunk_size(context.network.filters)):
        for name, gradient in gradients.items():
            totals[name] = totals.get(name, 0) + gradient.abs().sum(0)
    norms = {name: torch.linalg.vector_norm(total).clamp_min(TINY) for name, total in totals.items()}
    return {name: (-total / norms[name]).cpu() for name, total in totals.items()}


def score_gate(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """-mean over Z of (1/|Z| sum over b in Z of dL_b/dg_bj)^2 (arXiv 1906.10771, eq. 8, with gates).

    The mean counts each Z as often as it has images. One scale for all layers.
    """
    size = GATE_BATCH
    while size > chunk_size(context.network.filters):
        size //= 2  # every Z is made of whole chunks
    totals: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    n_images = n_in_batch = 0
    for gradients in gate_gradients(filters, context, size):
        n_in_batch += len(next(iter(gradients.values())))
        sums = {name: sums.get(name, 0) + gradient.sum(0) for name, gradient in gradients.items()}
        if n_in_batch == GATE_BATCH:
            _close(totals, sums, n_in_batch)
            n_images, n_in_batch, sums = n_images + n_in_batch, 0, {}
    if n_in_batch:
        _close(totals, sums, n_in_batch)
    return {name: (-total / (n_images + n_in_batch)).cpu() for name, total in totals.items()}


def _close(totals: dict[str, Tensor], sums: Mapping[str, Tensor], n: int) -> None:
    """Add n times the square of the mean."""
    for name, total in sums.items():
        totals[name] = totals.get(name, 0) + total.square() / n


def gate_gradients(
    layers: Mapping[str, Tensor], context: ScoreContext, size: int
) -> Iterator[dict[str, Tensor]]:
    """Layer -> dL_b/dg_bj, float64 (B, J), for the next `size` images; on the device."""
    network = context.network
    gates: dict[str, Tensor] = {}

    def see(name: str, a: Tensor) -> Tensor:
        gates[name] = torch.ones_like(a[:, :, :1, :1]).requires_grad_()
        return a * gates[name]

    with evaluating(network.model):
        reader = Reader(network, layers, see)
        for x, y in chunks(context, size):
            with torch.enable_grad():
                loss = F.cross_entropy(reader.run(x).float(), y, reduction="sum")
            found = torch.autograd.grad(
                loss, [gates[name] for name in layers], allow_unused=True, materialize_grads=True
            )
            yield {name: g.flatten(1).double() for name, g in zip(layers, found, strict=True)}
