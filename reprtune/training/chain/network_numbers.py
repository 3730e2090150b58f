"""The numbers of a network as it stands, by the names under which objectives read them (see spec.objectives)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reprtune.training.surgery.filter_map import Use
from reprtune.training.surgery.multiply_adds import MultiplyAdds
from reprtune.training.surgery.subnetwork import SubNetwork


def network_numbers(network: SubNetwork) -> dict[str, float]:
    """Of the network without its dropped filters; one whose weights alone are dropped is computed with, and so
    counted. Asks nothing of the device.

    `inference_gflops`: 1e9 floating-point operations of one image's forward pass, 2 per multiply-add.
    `params`: parameters, without those that belong to dropped filters.
    """
    keep = network.keep if network.drop == "exact" else torch.ones_like(network.keep)
    present = torch.cat([keep, torch.ones(1, dtype=torch.bool)])  # the last one: of nobody, owner -1
    uses: dict[str, list[Use]] = {name: [] for name in network.parameters}
    for use in network.filters.owned:
        uses.get(use.name, []).append(use)  # buffers are no parameters
    counts = [_count(p.shape, uses[name], present) for name, p in network.parameters.items()]
    return {"inference_gflops": 2 * network.filters.macs(keep) / 1e9, "params": float(sum(counts))}


def model_numbers(model: nn.Module, input_shape: Sequence[int]) -> dict[str, float]:
    """The same of any network as it stands, whatever it is made of."""
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    with MultiplyAdds() as counter, torch.no_grad():
        model.eval()(torch.zeros(1, *input_shape, device=device))
    for module, mode in modes.items():
        module.training = mode
    return {
        "inference_gflops": 2 * counter.total / 1e9,
        "params": float(sum(p.numel() for p in model.parameters())),
    }


def _count(shape: Sequence[int], uses: Sequence[Use], present: Tensor) -> int:
    """Entries of a tensor that belong to no absent filter."""
    there = [torch.ones(size, dtype=torch.bool) for size in shape]
    for use in uses:
        there[use.dim] &= present[use.owner]
    return math.prod(int(dim.sum()) for dim in there)
