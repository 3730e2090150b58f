"""All of the network: every parameter and every buffer (Born-Again Networks, arXiv 1805.04770)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from reprtune.training.parts.criteria import ScoreContext


def select(context: ScoreContext, _scores: Mapping[str, Tensor] | None) -> frozenset[str]:
    """The names of all tensors."""
    return frozenset({**context.network.parameters, **context.network.buffers})
