"""How much the filters of each layer overlap, for the record of drops and restores."""

from __future__ import annotations

from torch import Tensor

from reprtune.training.parts.criteria.ortho import overlap
from reprtune.training.surgery.subnetwork import SubNetwork


def detached(network: SubNetwork) -> dict[str, Tensor]:
    """Layer -> its filters (J, c, k, k), the parameters themselves."""
    return {name: network.parameters[f"{name}.weight"].detach() for name in network.filters.layers}


def overlaps(network: SubNetwork) -> dict[str, float]:
    """Layer -> mean inter-filter overlap of its filters as they stand, in [0, 1]."""
    return {name: float(overlap(weight)) for name, weight in detached(network).items()}
