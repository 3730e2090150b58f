"""Drop some filters of any network, and look at what reaches its mixing layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.subnetwork import SubNetwork

EXAMPLE = torch.zeros(1, 3, 8, 8)


def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=generator(0, "images"))


def shaken(model: nn.Module) -> nn.Module:
    """Every parameter and statistic away from 0 and 1, so that nothing is 0 by chance."""
    draw = generator(0, "shake")
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point():
                noise = 0.3 * torch.randn(tensor.shape, generator=draw)
                tensor.add_(noise.abs() if name.endswith("var") else noise)
    return model


def without(model: nn.Module, filters: FilterMap, seed: int = 0) -> SubNetwork:
    """Of every layer the first filter is dropped, and some more, but never the last."""
    keep = torch.rand(filters.n_filters, generator=generator(seed, "keep")) > 0.4
    for numbers in filters.slices().values():
        keep[numbers.start], keep[numbers.stop - 1] = False, True
    network = SubNetwork(model, filters, {})
    network.set_keep(keep)
    return network


def inputs_of_mixing_layers(network: SubNetwork, x: Tensor) -> dict[str, list[Tensor]]:
    """What each convolution (that mixes channels) and linear layer reads in a forward pass."""
    seen: dict[str, list[Tensor]] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda _m, args, name=name: seen.setdefault(name, []).append(args[0].detach().clone())
        )
        for name, module in network.model.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    ]
    network.forward(x)
    for hook in hooks:
        hook.remove()
    return seen
