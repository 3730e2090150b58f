"""A drop: filters or single weights are ranked, and the highest are left out."""

from __future__ import annotations

from reprtune.history import Drop, Happening
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.part import Own
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.member import Member
from reprtune.training.chain.scoring import score_context
from reprtune.training.data.task import Task
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.requirements import check_requirements
from reprtune.training.parts.drops import Dropping
from reprtune.training.parts.holding import Measuring
from reprtune.training.parts.overlaps import overlaps
from reprtune.training.parts.schedules import Event
from reprtune.training.parts.selections import check, choose, ranks, selecting
from reprtune.training.surgery.subnetwork import SubNetwork


def count_to_drop(method: MethodSpec, network: SubNetwork) -> int:
    """How many filters, or single weights, each drop takes; 0 where the method drops none, or where that is not
    known before.

    Raises:
        SpecError: the method would take none although it means to, or its criterion cannot rank the network.
        PartError: the code of a person's own part is not there.
    """
    for _, part in method.parts():
        if isinstance(part, Own):
            behaviour(part)
    check(method, network)
    if method.selection is None or method.criterion is None or not ranks(method.selection):
        return 0
    select = selecting(method.selection)
    n = select.count(network, method.selection)
    check_requirements(method.criterion.name, select.ranked(network, method.selection), network.filters)
    return n


def drop(member: Member, task: Task, event: Event) -> Drop:
    """What a drop does to a member."""
    return drop_filters(member.dropping, member.spec, score_context(member, task, event), event.stop)


def drop_filters(dropping: Dropping, spec: TrialSpec, context: ScoreContext, step: int) -> Drop:
    """Rank, choose and drop; the network is the sub-network afterwards."""
    method, network = spec.method, dropping.network
    with dropping.whole():
        chosen = choose(method, context)
        before = overlaps(network)
    dropping.drop(chosen)
    # Single weights are too many to be listed: `told_of_drop` counts them.
    filters = dropping.taken if method.unit == "filter" else {}
    dropped = {name: tuple(mask.nonzero().flatten().tolist()) for name, mask in filters.items()}
    return Drop(step=step, cycle=context.cycle, dropped=dropped, overlap=before, member=context.member)


def told_of_drop(member: Member, event: Event) -> tuple[Happening, ...]:
    """How many single weights of each layer are gone, as one record; of filters what the drop itself measures,
    none where it measures nothing."""
    dropping = member.dropping
    if member.spec.method.unit == "weight":
        numbers = {layer: float(mask.sum()) for layer, mask in dropping.taken.items()}
    else:
        numbers = dropping.numbers() if isinstance(dropping, Measuring) else {}
    told = Happening(kind="drop", step=event.stop, member=member.number, numbers=numbers)
    return (told,) if numbers else ()
