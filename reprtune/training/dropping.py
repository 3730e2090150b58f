"""A drop: filters are ranked, and the highest are left out."""

from __future__ import annotations

from reprtune.spec.history import Drop
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.selections import Share
from reprtune.training.criteria import ScoreContext, score_filters
from reprtune.training.overlaps import overlaps
from reprtune.training.select import candidates, select
from reprtune.training.subnetwork import SubNetwork


def drop_filters(network: SubNetwork, method: MethodSpec, context: ScoreContext, step: int) -> Drop:
    """Rank, choose and drop; `network` is the sub-network afterwards."""
    assert method.criterion is not None and isinstance(method.selection, Share)
    filters = network.filters
    layers = candidates(filters, method.selection)
    ranked = {name: network.parameters[f"{name}.weight"].detach() for name in layers}
    with network.whole():
        scores = score_filters(method.criterion, ranked, context)
        before = overlaps(network)
    drop = select(scores, filters, method.selection)
    network.set_keep(~drop)
    dropped = {
        name: tuple(drop[numbers].nonzero().flatten().tolist())
        for name, numbers in filters.slices().items()
        if drop[numbers].any()
    }
    return Drop(step=step, cycle=context.cycle, dropped=dropped, overlap=before, member=context.member)
