"""The begin of a phase: who is taken is chosen, for what acts within segments from now on."""

from __future__ import annotations

from functools import partial

from reprtune.history import Happening
from reprtune.training.chain.member import Member
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Task
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.criteria import ScoreContext, score_filters
from reprtune.training.parts.holding import Beginning
from reprtune.training.parts.schedules import Event


def begin(member: Member, task: Task, event: Event) -> Happening:
    """What a begin does to a member.

    The selection is `select(context, scores, **options)`: scores are those of the criterion, or None without one;
    what it returns is for those parts of the method that can begin.
    """
    method = member.spec.method
    assert method.selection is not None
    batches = partial(evaluation_batches, task.score, task.mean, task.std)
    context = ScoreContext(member.spec.seed, event.cycle, member.network, batches, member.number)
    scores = None
    if method.criterion is not None:
        filters = {n: member.network.parameters[f"{n}.weight"].detach() for n in member.filters.layers}
        scores = score_filters(method.criterion, filters, context)
    chosen = behaviour(method.selection)(context, scores)
    numbers: dict[str, float] = {}
    for part in member.holdings.values():
        if isinstance(part, Beginning):
            numbers |= part.begin(chosen)
    return Happening(kind="begin", step=event.stop, member=member.number, numbers=numbers)
