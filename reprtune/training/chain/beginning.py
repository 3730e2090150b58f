"""The begin of a phase: who is taken is chosen, for what acts within segments from now on."""

from __future__ import annotations

from functools import partial

from reprtune.history import Happening
from reprtune.training.chain.member import Member
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Task
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.holding import Beginning
from reprtune.training.parts.schedules import Event
from reprtune.training.parts.selections import choose


def begin(member: Member, task: Task, event: Event) -> Happening:
    """What a begin does to a member: what is chosen is told to those parts of its method that can begin."""
    method = member.spec.method
    batches = partial(evaluation_batches, task.score, task.mean, task.std)
    context = ScoreContext(member.spec.seed, event.cycle, member.network, batches, member.number)
    chosen = choose(method, context)
    numbers: dict[str, float] = {}
    for part in member.holdings.values():
        if isinstance(part, Beginning):
            numbers |= part.begin(chosen)
    return Happening(kind="begin", step=event.stop, member=member.number, numbers=numbers)
