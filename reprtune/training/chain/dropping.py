"""A drop: filters are ranked, and the highest are left out."""

from __future__ import annotations

from functools import partial

from reprtune.errors import SpecError
from reprtune.history import Drop
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.part import Own
from reprtune.spec.parts.selections import Share
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.member import Member
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Task
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.criteria import ScoreContext, score_filters
from reprtune.training.parts.criteria.requirements import check_requirements
from reprtune.training.parts.overlaps import overlaps
from reprtune.training.parts.schedules import Event
from reprtune.training.parts.selections.share import candidates, n_dropped, select
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.subnetwork import SubNetwork


def count_to_drop(method: MethodSpec, filters: FilterMap) -> int:
    """How many filters each drop takes; 0 where the method drops none.

    Raises:
        SpecError: the method would take none although it means to, or its criterion cannot rank the network.
        PartError: the code of a person's own part is not there.
    """
    for _, part in method.parts():
        if isinstance(part, Own):
            behaviour(part)
    selection = method.selection
    if not isinstance(selection, Share) or method.criterion is None:
        return 0
    layers = candidates(filters, selection)
    if (n := n_dropped(filters, selection)) == 0:
        raise SpecError(
            f"method.prune_ratio = {selection.prune_ratio} and method.layer_cap = "
            f"{selection.layer_cap} drop none of the {sum(filters.layers[name] for name in layers)} filters "
            "that may be dropped.",
            "Raise them, or take method standard for standard training.",
        )
    check_requirements(method.criterion.name, layers, filters)
    return n


def drop(member: Member, task: Task, event: Event) -> Drop:
    """What a drop does to a member."""
    batches = partial(evaluation_batches, task.score, task.mean, task.std)
    context = ScoreContext(member.spec.seed, event.cycle, member.network, batches, member.number)
    return drop_filters(member.network, member.spec, context, event.stop)


def drop_filters(network: SubNetwork, spec: TrialSpec, context: ScoreContext, step: int) -> Drop:
    """Rank, choose and drop; `network` is the sub-network afterwards."""
    method = spec.method
    assert method.criterion is not None
    assert isinstance(method.selection, Share)
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
