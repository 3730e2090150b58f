"""How close the filters of a cluster come, told before anything is trained.

Notations
    d       difference of two filters of a cluster; only eps (the pull), eta (weight decay) and momentum move it
    v       its momentum
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from reprtune.spec.training import TrainingSpec
from reprtune.training.parts.gradients.centripetal import VECTOR_SHARE

ENOUGH = 20.0  # e^-20 is 2e-9, below what float32 tells apart


def contraction(lrs: NDArray[np.float64], pull: float, decay: float, momentum: float) -> float:
    """Sum over steps of lr (pull + decay) / (1 - momentum): by how many powers of e differences shrink, as long as
    the shrinking of one step is small.

    Args:
        lrs: learning rate of each step of the phase.
    """
    return float(np.sum(lrs)) * (pull + decay) / (1 - momentum)


def relative_gap(
    lrs: NDArray[np.float64], pull: float, decay: float, momentum: float, nesterov: bool = False
) -> float:
    """d after the phase over d before it, step by step: v <- momentum v + (pull + decay) d; d <- d - lr v. Of the
    order of exp(-contraction), or more: no step shrinks d by more than sqrt(momentum) for long."""
    d, v = 1.0, 0.0
    for lr in lrs.tolist():
        gradient = (pull + decay) * d
        v = momentum * v + gradient
        d -= lr * (gradient + momentum * v if nesterov else v)
        if max(abs(d), abs(v)) < 1e-150:
            return 0.0
    return abs(d)


def too_little(
    training: TrainingSpec, lrs: NDArray[np.float64], pull: float, vectors_differ: bool = False
) -> str | None:
    """A warning, in a line, where the phase contracts too little for a trim without loss; None where it is enough.

    Args:
        lrs: as in `contraction`. vectors_differ: does BatchNorm of a cluster differ when the phase begins? In a new
            network it does not.
    """
    if found := _short(training, lrs, pull):
        measure = "the sum of lr (pull + weight_decay) / (1 - momentum)"
        return _line(training, measure, "filters of a cluster", *found)
    if vectors_differ and (found := _short(training, lrs, VECTOR_SHARE * pull)):
        what = "BatchNorm and biases of a cluster, trained before the phase,"
        measure = "with a tenth of pull the sum of lr (pull / 10 + weight_decay) / (1 - momentum)"
        return _line(training, measure, what, *found)
    return None


def _short(training: TrainingSpec, lrs: NDArray[np.float64], pull: float) -> tuple[float, float] | None:
    """Contraction and gap where they are too little."""
    n = contraction(lrs, pull, training.weight_decay, training.momentum)
    gap = relative_gap(lrs, pull, training.weight_decay, training.momentum, training.nesterov)
    return None if n >= ENOUGH and gap <= math.exp(-ENOUGH / 2) else (n, gap)


def _line(training: TrainingSpec, measure: str, what: str, n: float, gap: float) -> str:
    """Why it is too little: the sum, or, where that is large enough, what each step can do at the most."""
    if n < ENOUGH:
        why = f"{measure} over the phase is {n:.3g}, where {ENOUGH:g} are needed, so {what} keep about {gap:.2g} of "
        mend = "Raise method.pull, training.lr or training.total."
    elif gap < 1:
        why = f"there are too few steps, for with momentum {training.momentum:g} none shrinks differences by more than "
        why += f"a factor of {math.sqrt(training.momentum):.3g} for long: {what} keep about {gap:.2g} of "
        mend = "Raise training.total, or lower training.momentum; a larger method.pull does not help."
    else:
        why = f"each step overshoots, so {what} come to {gap:.2g} times "
        mend = "Lower method.pull or training.lr."
    return f"Clusters contract too little for a trim without loss: {why}their differences. {mend}"
