"""What happens between two segments: drops and restores in a member, exchanges between members."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.history import Drop, Restore
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.selections import Share
from reprtune.training.behaviour import behaviour
from reprtune.training.criteria import ScoreContext
from reprtune.training.criteria.needs import check_needs
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Task
from reprtune.training.dropping import drop_filters
from reprtune.training.filter_map import FilterMap
from reprtune.training.member import Member, new_network
from reprtune.training.restoring import RECALIBRATION_BATCHES, RestoreContext, restore_dropped
from reprtune.training.schedule import Event
from reprtune.training.seeds import generator
from reprtune.training.select import candidates, n_dropped


def check(method: MethodSpec, filters: FilterMap) -> int:
    """How many filters each drop takes; 0 where the method drops none.

    Raises:
        SpecError: the method would take none although it means to, or its criterion cannot rank the network.
    """
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
    check_needs(method.criterion.name, layers, filters)
    behaviour(method.criterion)  # which of a person's own may not be there
    return n


def drop(member: Member, task: Task, event: Event) -> Drop:
    """Rank, choose and drop."""
    batches = partial(evaluation_batches, task.score, task.mean, task.std)
    context = ScoreContext(member.spec.seed, event.cycle, member.network, batches, member.which)
    return drop_filters(member.network, member.spec.method, context, event.stop)


def restore(member: Member, task: Task, event: Event) -> Restore:
    """What was dropped comes back."""
    build = functools.partial(_build, member, task)
    context = RestoreContext(event.cycle, member.which, build, partial(_some_batches, member, task))
    return restore_dropped(member.network, member.spec, context, event.stop)


def exchange(members: Sequence[Member], method: MethodSpec) -> None:
    """Parameters and statistics are blended; optimizers go on as they are."""
    assert method.exchange is not None
    behaviour(method.exchange)([dict(member.model.state_dict()) for member in members])


def _build(member: Member, task: Task, seed: int) -> torch.nn.Module:
    return new_network(member.spec, task, seed, member.which)


def _some_batches(member: Member, task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """The train part in the order of a generator of its own: that of a folder is by class."""
    size = member.spec.training.batch_size
    order = torch.randperm(
        len(task.train), generator=generator(member.spec.seed, "recalibrate", member.which)
    )
    some = task.train.select(order[: RECALIBRATION_BATCHES * size])
    return evaluation_batches(some, task.mean, task.std, size)
