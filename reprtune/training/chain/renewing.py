"""A new generation: part of a network begins anew, the rest goes on.

Filters come back as at a restore; whole layers, taken by the names of their tensors, are those of a new network. Then
the restore rules act. Who imitates the generation before is given it first, as it ended.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from reprtune.history import Happening
from reprtune.spec.parts.restores import Old
from reprtune.training.chain.member import Member, new_network
from reprtune.training.chain.restoring import NO_RULES, restore
from reprtune.training.chain.scoring import score_context
from reprtune.training.data.task import Task
from reprtune.training.parts.holding import Renewing
from reprtune.training.parts.schedules import Event
from reprtune.training.parts.selections import choose
from reprtune.training.platform.seeds import derive


def renew(member: Member, task: Task, event: Event) -> Happening:
    """What the begin of a new generation does to a member.

    Told are the `filters` or `tensors` that were taken, and `renewed`: the share of the parameters' numbers that are
    others than before.
    """
    for part in member.holdings.values():
        if isinstance(part, Renewing):
            part.renew(member.model)
    parameters = member.network.parameters.values()
    before = [p.detach().clone() for p in parameters]
    taken = _chosen(member, task, event)
    if isinstance(taken, Tensor):
        member.dropping.drop(taken)
    else:
        _begin_anew(member, task, event, taken)
    restore(member, task, event)
    if (member.spec.method.restore_rules or NO_RULES).restore_optimizer == "reset":
        for tensor in member.step.optimizer.tensors().values():
            tensor.zero_()
    changed = sum(int((p != old).sum()) for p, old in zip(parameters, before, strict=True))
    counted = ("filters", int(taken.sum())) if isinstance(taken, Tensor) else ("tensors", len(taken))
    numbers = dict([counted, ("renewed", changed / sum(p.numel() for p in parameters))])
    return Happening(kind="renew", step=event.stop, member=member.number, numbers=numbers)


def _chosen(member: Member, task: Task, event: Event) -> Any:
    """Filters, (F,) bool, or names of tensors; without a selection nothing."""
    if member.spec.method.selection is None:
        return frozenset()
    with member.dropping.whole():
        return choose(member.spec.method, score_context(member, task, event))


@torch.no_grad()
def _begin_anew(member: Member, task: Task, event: Event, names: Collection[str]) -> None:
    """The tensors of these names are those of a new network, from a seed of this generation; BatchNorm's where
    `restore_bn` does not keep them."""
    method, network = member.spec.method, member.network
    if isinstance(method.restore or Old(), Old) or not names:
        return
    seed = derive(member.spec.seed, "renew", member.number, event.cycle)
    new = new_network(member.spec, task, seed, member.number, member.forms)
    fresh = {**dict(new.named_parameters()), **dict(new.named_buffers())}
    keeps = (method.restore_rules or NO_RULES).restore_bn == "keep"
    for name, tensor in {**network.parameters, **network.buffers}.items():
        module = member.model.get_submodule(name.rpartition(".")[0])
        if name in names and not (keeps and isinstance(module, _BatchNorm)):
            tensor.copy_(fresh[name])
