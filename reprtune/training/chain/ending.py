"""The end of a trial: what is done once, after the last step, so that a network of another structure comes out.

An ending is `end(member, **options)` and returns the network that comes out and its Form, which is JSON: how its
structure differs from that of the network it is made of (see `reprtune.training.surgery.forms`).
"""

from __future__ import annotations

import torch

from reprtune.history import Happening
from reprtune.training.chain.member import Member
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Task
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.schedules import Event


def end(member: Member, task: Task, event: Event) -> Happening:
    """What an end does to a member. Told are sizes before and after it, and `gap`, the largest difference that it
    makes to a logit, over the first images of the validation part."""
    ending = member.spec.method.ending
    if ending is None:  # the training has only ended before its total
        return Happening(kind="end", step=event.stop, member=member.number)
    before, logits = member.numbers(), _logits(member, task)
    model, form = behaviour(ending)(member)
    member.become(model, form)
    after = member.numbers()
    gap = float((_logits(member, task) - logits).abs().max())
    sizes = {f"{name}_before": value for name, value in before.items()}
    return Happening(
        kind="end", step=event.stop, member=member.number, numbers={**sizes, **after, "gap": gap}
    )


@torch.no_grad()
def _logits(member: Member, task: Task) -> torch.Tensor:
    x, _ = next(iter(evaluation_batches(task.val, task.mean, task.std)))
    member.model.eval()
    with member.step.autocast():
        logits = member.forward(x).float()
    member.model.train()
    return logits
