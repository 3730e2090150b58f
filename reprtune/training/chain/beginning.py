"""The begin of a phase: who is taken is chosen, for what acts within segments from now on."""

from __future__ import annotations

from reprtune.history import Happening
from reprtune.training.chain.member import Member
from reprtune.training.chain.scoring import score_context
from reprtune.training.data.task import Task
from reprtune.training.parts.holding import Beginning
from reprtune.training.parts.schedules import Event
from reprtune.training.parts.selections import choose


def begin(member: Member, task: Task, event: Event) -> Happening:
    """What a begin does to a member: what is chosen is told to those parts of its method that can begin."""
    with member.dropping.whole():
        chosen = choose(member.spec.method, score_context(member, task, event))
    numbers: dict[str, float] = {}
    for part in member.holdings.values():
        if isinstance(part, Beginning):
            numbers |= part.begin(chosen)
    return Happening(kind="begin", step=event.stop, member=member.number, numbers=numbers)
