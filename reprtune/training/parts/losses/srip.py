"""Spectral restricted isometry (arXiv 1810.09102), by one power iteration.

Notations
    W           the filters of a layer as rows (J, c k k)
    G           W W^T - I, symmetric (J, J)
    v           a direction (J,), drawn anew at every step for every layer

    u = G v / |G v|;  sigma = |G u|, at most the largest |eigenvalue| of G

The gradient goes through both products. The factor falls in the steps that the authors' code has: at 20, 50 and 70
of its 200 epochs to 1e-3, 1e-4 and 1e-6 of what it was, and to 0 at 120.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.spec.duration import Duration
from reprtune.training.descent.losses import Term
from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.gram import gram_minus_identity, over_layers, present
from reprtune.training.surgery.subnetwork import SubNetwork

# Share of the time, share of the factor.
FALLS = ((20 / 120, 1e-3), (50 / 120, 1e-4), (70 / 120, 1e-6), (1.0, 0.0))


class Srip(Term):
    def __init__(self, context: LossContext, *, srip_penalty: float, srip_until: Duration) -> None:
        self._first = srip_penalty
        self._falls = falls(srip_until.steps(context.steps_per_epoch))
        self._now = srip_penalty
        self.factor = torch.tensor(srip_penalty, device=context.device)

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:  # noqa: ARG002 - of a place
        return self.factor * over_layers(network, drawn_spectral_norm)

    def before_step(self, step: int) -> None:
        share = next((share for start, share in reversed(self._falls) if step >= start), 1.0)
        if (factor := share * self._first) != self._now:
            self._now = factor
            self.factor.fill_(factor)


def falls(n_steps: int) -> list[tuple[int, float]]:
    """(step from which on, share of the factor), in order; none where it does not fall."""
    return [(round(at * n_steps), share) for at, share in FALLS] if n_steps else []


def drawn_spectral_norm(rows: Tensor) -> Tensor:
    """With a direction from torch's default generator, which every member seeds for every segment."""
    return spectral_norm(rows, torch.randn(len(rows), dtype=rows.dtype, device=rows.device))


def spectral_norm(rows: Tensor, v: Tensor) -> Tensor:
    """|G u|, the largest |eigenvalue| of W W^T - I after one power iteration from v (J,); from below."""
    gram = gram_minus_identity(rows)
    return torch.linalg.vector_norm(gram @ F.normalize(gram @ (v * present(rows)), dim=0))
