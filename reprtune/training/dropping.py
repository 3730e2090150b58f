"""What happens between two segments: filters are ranked and dropped, and restored later."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reprtune.spec.history import Drop, Restore
from reprtune.spec.trial import TrialSpec
from reprtune.training.criteria import ScoreContext, score_filters
from reprtune.training.criteria.ortho import overlap
from reprtune.training.restores import RuleContext, restore_filters
from reprtune.training.restores.belongings import (
    recalibrate,
    reset_channels,
    reset_optimizer,
    rewrite_readers,
)
from reprtune.training.seeds import derive, generator
from reprtune.training.select import candidates, select
from reprtune.training.subnetwork import SubNetwork

RECALIBRATION_BATCHES = 20  # at most


@dataclass(frozen=True)
class RestoreContext:
    """What a restore may need besides the network.

    Attributes:
        cycle: its number, from 0. which: of the trial's networks, for its draws.
        build: a new network like this one, on the CPU, from a seed.
        batches: images of the train part without augmentation, in training batches of all classes, as (x, y)
            on the device; the same at every restore; the last may be smaller.
    """

    cycle: int
    which: int
    build: Callable[[int], nn.Module]
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]


def drop_filters(network: SubNetwork, spec: TrialSpec, context: ScoreContext, step: int) -> Drop:
    """Rank, choose and drop; `network` is the sub-network afterwards."""
    filters = network.filters
    weights = detached(network)
    ranked = {name: weights[name] for name in candidates(filters, spec.method)}
    with network.whole():
        scores = score_filters(spec.method.criterion, ranked, context)
        before = overlaps(network)
    drop = select(scores, filters, spec.method)
    network.set_keep(~drop)
    dropped = {
        name: tuple(drop[numbers].nonzero().flatten().tolist())
        for name, numbers in filters.slices().items()
        if drop[numbers].any()
    }
    return Drop(step=step, cycle=context.cycle, dropped=dropped, overlap=before)


@torch.no_grad()
def restore_dropped(network: SubNetwork, spec: TrialSpec, context: RestoreContext, step: int) -> Restore:
    """The dropped filters come back with new weights, and what else belongs to them as the method has it.

    The kernels that read them first, since restore rules look at the survivors as they will be.
    """
    method = spec.method
    with network.whole():
        if method.restore_optimizer == "reset":
            reset_optimizer(network)
        if method.restore_bn != "keep":
            reset_channels(network)
        if method.restore_next != "keep":
            draw = functools.partial(generator, spec.seed, "next", context.which, context.cycle)
            rewrite_readers(network, method.restore_next, draw)
        levels = _new_weights(network, spec, context)
    network.set_keep(torch.ones_like(network.keep))
    if method.restore_bn == "recalibrate":
        recalibrate(network, _whole_batches(context))
    return Restore(step=step, cycle=context.cycle, levels=levels, overlap=overlaps(network))


def _new_weights(network: SubNetwork, spec: TrialSpec, context: RestoreContext) -> dict[str, dict[str, int]]:
    """Written into the network; layer -> level -> number of filters."""
    method, dropped = spec.method, ~network.keep
    new_network = functools.cache(
        lambda: context.build(derive(spec.seed, "restore", context.which, context.cycle))
    )
    levels: dict[str, dict[str, int]] = {}
    for name, numbers in network.filters.slices().items():
        if not dropped[numbers].any():
            continue
        weight = network.parameters[f"{name}.weight"]
        draw = generator(spec.seed, "restore", context.which, context.cycle, name)
        initial = functools.partial(_weight_of, new_network, name)
        new = restore_filters(
            method.restore,
            weight.detach(),
            dropped[numbers],
            RuleContext(draw, initial),
            method.restore_scale,
        )
        weight[dropped[numbers].to(weight.device)] = new.weight.to(weight)
        levels[name] = {level: new.levels.count(level) for level in sorted(set(new.levels))}
    return levels


def _weight_of(network: Callable[[], nn.Module], layer: str) -> Tensor:
    return network().get_parameter(f"{layer}.weight").detach()


def _whole_batches(context: RestoreContext) -> Iterator[Tensor]:
    """The images of the first few, of one size."""
    size = 0
    for x, _ in itertools.islice(context.batches(), RECALIBRATION_BATCHES):
        size = size or len(x)
        if len(x) == size:
            yield x


def detached(network: SubNetwork) -> dict[str, Tensor]:
    """Layer -> its filters (J, c, k, k), the parameters themselves."""
    return {name: network.parameters[f"{name}.weight"].detach() for name in network.filters.layers}


def overlaps(network: SubNetwork) -> dict[str, float]:
    return {name: float(overlap(weight)) for name, weight in detached(network).items()}
