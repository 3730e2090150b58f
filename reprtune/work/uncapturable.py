"""Which networks a worker does not try to capture as a CUDA graph, because it failed once."""

from __future__ import annotations

from reprtune.spec.codec import digest
from reprtune.spec.trial import TrialSpec


def network_key(spec: TrialSpec) -> str:
    """Digest of what decides whether a step can be captured: the network, and what else runs in its step.

    Numbers that a step only reads (rates, seeds, sizes of the batch) are left out, so that one failure is
    known to all trials of a search that draws them. Should such a number matter after all, the trials that
    could be captured are trained step by step: slower, and the same.
    """
    training = spec.training
    losses = [(loss.name, getattr(loss, "teacher_folder", None)) for loss in spec.method.losses]
    if spec.branch is not None:
        losses += [
            (f"after {loss.name}", getattr(loss, "teacher_folder", None)) for loss in spec.after.method.losses
        ]
    return digest([spec.model, training.optimizer, training.precision, losses, spec.task.augment])
