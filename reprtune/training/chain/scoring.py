"""What is looked at where an event takes some of a network."""

from __future__ import annotations

from functools import partial

from reprtune.training.chain.member import Member
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Task
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.schedules import Event


def score_context(member: Member, task: Task, event: Event) -> ScoreContext:
    """Of a member, for criteria and selections; they see the whole network, inside `member.dropping.whole()`."""
    batches = partial(evaluation_batches, task.score, task.mean, task.std)
    spec = member.spec
    return ScoreContext(spec.seed, event.cycle, member.network, batches, member.number, spec.method.unit)
