"""Filters that are made of others of their layer while they are gone: their kernels, or their feature maps."""

from __future__ import annotations

from reprtune.training.parts.drops.tied_maps import TiedMaps
from reprtune.training.parts.drops.tied_weights import TiedWeights
from reprtune.training.surgery.subnetwork import SubNetwork


def tied(
    network: SubNetwork, static: bool = False, *, transforms: str, fit_scale: bool, placement: str
) -> TiedWeights:
    """What holds the ties of a network; options as of `spec.parts.selections.Tied`."""
    kind = TiedMaps if placement == "features" else TiedWeights
    return kind(network, static, transforms=transforms, fit_scale=fit_scale)
