"""The filters that are weak beside the others of their layer, however many there are (ReDo, arXiv 2302.12902).

Notations
    R       score of a filter; higher = taken first
    v       its value, -R: for `activation` its mean absolute activation, for `l1` its norm
    F       droppable filters of the network
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext


def select(context: ScoreContext, scores: Mapping[str, Tensor] | None, *, tau: float, tau_of: str) -> Tensor:
    """The filters with v <= tau times the mean (or the largest) v of their layer, (F,) bool on the CPU.

    No layer is emptied: of one that is weak as a whole, or dead, its strongest filter stays, of equal ones the first.
    """
    assert scores is not None, "MethodSpec holds that there is a criterion"
    taken = torch.zeros(context.network.filters.n_filters, dtype=torch.bool)
    for name, numbers in context.network.filters.slices().items():
        values = -scores[name]
        level = values.max() if tau_of == "max" else values.mean()
        weak = values <= tau * level
        if weak.all():
            weak[(values == values.max()).nonzero()[0]] = False
        taken[numbers] = weak
    return taken
