"""What the other criteria estimate: the loss without one filter, measured."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.reading import chunks, evaluating
from reprtune.training.surgery.subnetwork import SubNetwork


@torch.no_grad()
def score(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """L - (L without filter j), L = mean cross-entropy of the score part (arXiv 1811.07275, section 3).

    Each filter of the layers in `filters` is left out alone, as `method.drop: exact` leaves it out whatever
    the trial's own drop, and nothing is trained. Costs one evaluation of the score part per filter, and one more.
    """
    network = context.network
    probe = SubNetwork(network.model, network.filters, {})  # what `network` holds is not touched
    numbers = network.filters.slices()
    scores = {}
    with evaluating(network.model):
        whole = _mean_loss(probe, context)
        for name in filters:
            rises = [_loss_without(probe, context, i) - whole for i in _range(numbers[name])]
            scores[name] = -torch.stack(rises).cpu()
    return scores


def _range(numbers: slice) -> range:
    return range(numbers.start, numbers.stop)


def _loss_without(network: SubNetwork, context: ScoreContext, number: int) -> Tensor:
    keep = torch.ones(network.filters.n_filters, dtype=torch.bool)
    keep[number] = False
    try:
        network.set_keep(keep)
        return _mean_loss(network, context)
    finally:
        network.set_keep(torch.ones_like(keep))


def _mean_loss(network: SubNetwork, context: ScoreContext) -> Tensor:
    """Cross-entropy in float64, on the device: differences between filters are small."""
    total = torch.zeros((), dtype=torch.float64, device=next(iter(network.parameters.values())).device)
    n_images = 0
    for x, y in chunks(context):
        total += F.cross_entropy(network.forward(x).double(), y, reduction="sum")
        n_images += len(y)
    return total / n_images
