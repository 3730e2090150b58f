"""Which filters of a layer are weak: those whose L1 norm, the sum of abs(w), is below a bound."""

from __future__ import annotations

from torch import Tensor


def by_size(weight: Tensor) -> tuple[Tensor, Tensor]:
    """L1 norms of the filters (J,) from the smallest on, ties by position, in float64 on the CPU; and who they are."""
    sizes, order = weight.cpu().double().flatten(1).abs().sum(dim=1).sort(stable=True)
    return sizes, order


def weak_filters(weight: Tensor, below: float) -> Tensor:
    """Numbers of the weak filters, from the smallest on."""
    sizes, order = by_size(weight)
    return order[sizes < below]
