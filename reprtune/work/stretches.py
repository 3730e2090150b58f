"""The stretches of a trial's learning rate, as its chain trains them."""

from __future__ import annotations

from dataclasses import replace

from reprtune.spec.trial import TrialSpec
from reprtune.stopping.stretches import Stretches, stretches_of
from reprtune.training.chain.plan import events, restarts


def trial_stretches(spec: TrialSpec, steps_per_epoch: int) -> Stretches:
    """Where its rate jumps: by its schedule, at restores, at new generations."""
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
