"""What can be told of a trial before it is trained, of what it is likely to miss."""

from __future__ import annotations

from reprtune.spec.parts.members import Centripetal, Trim
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.plan import events, trial_rates
from reprtune.training.parts.gradients.contraction import too_little


def foreseen(spec: TrialSpec, steps_per_epoch: int) -> list[str]:
    """Warnings, each in a line; of a trial with a branch, those of what it comes to."""
    spec = spec.after
    gradient = spec.method.gradient
    if not (isinstance(gradient, Centripetal) and isinstance(spec.method.ending, Trim)):
        return []
    (begin,) = (event.stop for event in events(spec, steps_per_epoch) if event.kind == "begin")
    networks = spec.method.networks
    share = 1.0 if networks is None else min(map(networks.share_of_lr, range(networks.n_members)))
    lrs = share * trial_rates(spec, steps_per_epoch)  # of the member that contracts least
    was_trained = begin > 0 or spec.model.weights is not None
    found = too_little(spec.training, lrs[begin:], gradient.pull, was_trained)
    return [] if found is None else [found]
