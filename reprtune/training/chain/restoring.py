"""A restore: what was dropped comes back with new weights, and what else belongs to it as the rules have it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reprtune.history import Restore
from reprtune.spec.parts.restores import Old, RestoreRules
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.member import Member, new_network
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Task
from reprtune.training.parts.drops import Dropping
from reprtune.training.parts.overlaps import overlaps
from reprtune.training.parts.restore_rules import (
    recalibrate,
    reset_channels,
    reset_optimizer,
    rewrite_readers,
)
from reprtune.training.parts.restores import RuleContext, restore_filters
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.seeds import derive, generator

RECALIBRATION_BATCHES = 20  # at most
NO_RULES = RestoreRules(restore_bn="keep", restore_optimizer="keep")  # where the method has none


@dataclass(frozen=True)
class RestoreContext:
    """What a restore may need besides the network.

    Attributes:
        cycle: its number, from 0. number: of the member, for its draws.
        build: a new network like this one, on the CPU, from a seed.
        batches: images of the train part without augmentation, in training batches of all classes, as (x, y)
            on the device; the same at every restore; the last may be smaller.
    """

    cycle: int
    number: int
    build: Callable[[int], nn.Module]
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]


def restore(member: Member, task: Task, event: Event) -> Restore:
    """What a restore does to a member."""
    build = functools.partial(_build, member, task)
    context = RestoreContext(
        event.cycle, member.number, build, functools.partial(_some_batches, member, task)
    )
    return restore_dropped(member.dropping, member.spec, context, event.stop)


def _build(member: Member, task: Task, seed: int) -> nn.Module:
    return new_network(member.spec, task, seed, member.number, member.forms)


def _some_batches(member: Member, task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """The train part in the order of a generator of its own: that of a folder is by class."""
    size = member.spec.training.batch_size
    order = torch.randperm(
        len(task.train), generator=generator(member.spec.seed, "recalibrate", member.number)
    )
    some = task.train.select(order[: RECALIBRATION_BATCHES * size])
    return evaluation_batches(some, task.mean, task.std, size)


@torch.no_grad()
def restore_dropped(dropping: Dropping, spec: TrialSpec, context: RestoreContext, step: int) -> Restore:
    """What is gone comes back with new weights, and what else belongs to it as the method has it; to single
    weights, nothing else does.

    The kernels that read filters first, since restore rules look at the survivors as they will be.
    """
    rules, network = spec.method.restore_rules or NO_RULES, dropping.network
    seed = derive(spec.seed, "restore", context.number, context.cycle)
    new_network = functools.cache(lambda: context.build(seed))  # built where somebody looks at it
    initial = functools.partial(_parameter_of, new_network)
    with dropping.whole():
        if rules.restore_optimizer == "reset":
            reset_optimizer(network)
        if rules.restore_bn != "keep":
            reset_channels(network)
        if rules.restore_next != "keep":
            draw = functools.partial(generator, spec.seed, "next", context.number, context.cycle)
            rewrite_readers(network, rules.restore_next, draw, initial)
        levels = _new_weights(dropping, spec, context, initial)
    dropping.release()
    if rules.restore_bn == "recalibrate":
        recalibrate(network, _whole_batches(context))
    return Restore(
        step=step, cycle=context.cycle, levels=levels, overlap=overlaps(network), member=context.number
    )


def _new_weights(
    dropping: Dropping, spec: TrialSpec, context: RestoreContext, initial: Callable[[str], Tensor]
) -> dict[str, dict[str, int]]:
    """Written into the network; layer -> level -> number of filters, or of single weights."""
    rule = spec.method.restore or Old()
    levels: dict[str, dict[str, int]] = {}
    for name, dropped in dropping.taken.items():
        weight = dropping.network.parameters[f"{name}.weight"]
        draw = generator(spec.seed, "restore", context.number, context.cycle, name)
        rule_context = RuleContext(draw, functools.partial(initial, f"{name}.weight"))
        new = restore_filters(rule, weight.detach(), dropped, rule_context)
        weight[dropped.to(weight.device)] = new.weight.to(weight)
        levels[name] = {level: new.levels.count(level) for level in sorted(set(new.levels))}
    return levels


def _parameter_of(network: Callable[[], nn.Module], name: str) -> Tensor:
    return network().get_parameter(name).detach()


def _whole_batches(context: RestoreContext) -> Iterator[Tensor]:
    """The images of the first few, of one size."""
    size = 0
    for x, _ in itertools.islice(context.batches(), RECALIBRATION_BATCHES):
        size = size or len(x)
        if len(x) == size:
            yield x
