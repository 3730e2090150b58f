"""The stretches of a trial's learning rate, as its chain trains them."""

from __future__ import annotations

from dataclasses import replace

from reprtune.spec.trial import TrialSpec
from reprtune.stopping.stretches import Stretches, stretches_of
from reprtune.training.chain.plan import events, find_fork, restarts


def trial_stretches(spec: TrialSpec, steps_per_epoch: int) -> Stretches:
    """Where its rate jumps: by its schedule, at restores, at new generations; of a trial with a branch, those
    of its trunk up to the point."""
    if (fork := find_fork(spec, steps_per_epoch)) is not None:
        ours, theirs = (trial_stretches(side, steps_per_epoch) for side in (spec.trunk, spec.after))
        before = tuple(one for one in ours if one[0] < fork.step)
        course = [course for at, course in theirs if at <= fork.step][-1]
        joins = () if before[-1][1] == course else ((fork.step, course),)
        return (*before, *joins, *(one for one in theirs if one[0] > fork.step))
    method = spec.method
    rules = method.restore_rules
    scaled: tuple[int, ...] = ()
    if rules is not None and rules.restore_lr == "scaled":  # at the steps where it would begin anew
        anew = replace(spec, method=replace(method, restore_rules=replace(rules, restore_lr="restart")))
        scaled = restarts(anew, steps_per_epoch)
    found = stretches_of(
        spec.training,
        steps_per_epoch,
        restarts=restarts(spec, steps_per_epoch),
        scaled=scaled,
        scale=1.0 if rules is None else rules.restore_lr_scale,
        renewals=[event.stop for event in events(spec, steps_per_epoch) if event.kind == "renew"],
    )
    if method.networks is None or method.networks.member_lr == "same":
        return found
    return tuple((at, f"{course}, members {method.networks.member_lr}") for at, course in found)
