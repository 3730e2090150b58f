"""What happens between two segments: filters are ranked and dropped, and restored later."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprtune.spec.history import Drop, Restore
from reprtune.spec.trial import TrialSpec
from reprtune.training.criteria import ScoreContext, score_filters
from reprtune.training.criteria.ortho import overlap
from reprtune.training.restores import restore_filters
from reprtune.training.seeds import generator
from reprtune.training.select import select
from reprtune.training.subnetwork import SubNetwork


def drop_filters(network: SubNetwork, spec: TrialSpec, context: ScoreContext, step: int) -> Drop:
    """Rank, choose and drop; `network` is the sub-network afterwards."""
    filters = network.filters
    scores = score_filters(spec.method.criterion, detached(network), context)
    drop = select(scores, filters, spec.method)
    before = overlaps(network)
    network.set_keep(~drop)
    dropped = {
        name: tuple(drop[numbers].nonzero().flatten().tolist())
        for name, numbers in filters.slices().items()
        if drop[numbers].any()
    }
    return Drop(step=step, cycle=context.cycle, dropped=dropped, overlap=before)


@torch.no_grad()
def restore_dropped(network: SubNetwork, spec: TrialSpec, cycle: int, step: int, which: int = 0) -> Restore:
    """The dropped filters come back with new weights, and what else belongs to them starts afresh: bias and
    BatchNorm as in a new network, no momentum. The next layer's kernels keep their values.

    Args:
        which: of the trial's networks, for its draws.
    """
    levels: dict[str, dict[str, int]] = {}
    dropped = ~network.keep
    _reset_owned(network)
    for name, numbers in network.filters.slices().items():
        if not dropped[numbers].any():
            continue
        weight = network.parameters[f"{name}.weight"]
        draw = generator(spec.seed, "restore", which, cycle, name)
        new = restore_filters(spec.method.restore, weight.detach(), dropped[numbers], draw)
        weight[dropped[numbers].to(weight.device)] = new.weight.to(weight)
        levels[name] = {level: new.levels.count(level) for level in sorted(set(new.levels))}
    network.set_keep(torch.ones_like(dropped))
    return Restore(step=step, cycle=cycle, levels=levels, overlap=overlaps(network))


def _reset_owned(network: SubNetwork) -> None:
    """Everything absent but the convolutions' own weights: 1 for BatchNorm's scale and variance, 0 for
    biases, shifts, means and momentum."""
    convolutions = {f"{name}.weight" for name in network.filters.layers}
    per_channel = {use.name for use in network.filters.owned if use.dim == 0} - convolutions
    tensors = {**network.parameters, **network.buffers}
    for name, mask in network.absent_regions().items():
        for group in network.state.values():
            if name in group:
                group[name].mul_(mask)
        if name in per_channel and tensors[name].dim() == 1:
            module = network.model.get_submodule(name.rpartition(".")[0])
            one = isinstance(module, nn.BatchNorm2d) and name.endswith(("weight", "var"))
            tensors[name].mul_(mask).add_((1 - mask) * float(one))


def detached(network: SubNetwork) -> dict[str, Tensor]:
    """Layer -> its filters (J, c, k, k), the parameters themselves."""
    return {name: network.parameters[f"{name}.weight"].detach() for name in network.filters.layers}


def overlaps(network: SubNetwork) -> dict[str, float]:
    return {name: float(overlap(weight)) for name, weight in detached(network).items()}
