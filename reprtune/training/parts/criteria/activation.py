"""How much a filter fires.

Notations
    a_bj    activation of filter j for image b (H, W), at the tap of its layer
    n       images of the score part
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.reading import Reader, chunks, evaluating


def score(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """-mean over n, H, W of |a_bj|: what fires least is dropped first.

    As it is, without a correction for the layer: a global ranking prefers layers with small activations.
    """
    return {name: -mean for name, mean in _means(filters, context, Tensor.abs).items()}


def score_apoz(filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """Mean over n, H, W of [a_bj = 0], the average percentage of zeros, as a fraction (arXiv 1607.03250).

    Meant for layers that end in a ReLU; others have hardly any zeros and are dropped last.
    """
    return _means(filters, context, lambda a: a == 0)


@torch.no_grad()
def _means(
    layers: Mapping[str, Tensor], context: ScoreContext, measure: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Mean of `measure(a)` per filter over images and pixels."""
    network = context.network
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(layers, 0)

    def see(name: str, a: Tensor) -> Tensor:
        new = measure(a).sum((0, 2, 3), dtype=torch.float64)
        sums[name] = sums[name] + new if name in sums else new
        counts[name] += a.numel() // a.shape[1]
        return a

    with evaluating(network.model):
        reader = Reader(network, layers, see)
        for x, _ in chunks(context):
            reader.run(x)
    return {name: (sums[name] / counts[name]).cpu() for name in layers}
