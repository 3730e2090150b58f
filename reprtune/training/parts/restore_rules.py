"""The restore rules: what becomes of all else that belongs to a restored filter.

That is the state of the optimizer, bias and BatchNorm, and the kernels that read the filter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reprtune.training.surgery.subnetwork import SubNetwork

SMALL = 0.1  # spread of the next kernels, as a share of that of the layer's others


@torch.no_grad()
def reset_optimizer(network: SubNetwork) -> None:
    """The optimizer's state of everything that belongs to dropped filters, also of the kernels that read
    them, becomes 0, of whatever kind it is."""
    for name, mask in network.absent_regions().items():
        for group in network.state.values():
            if name in group:
                group[name].mul_(mask)


@torch.no_grad()
def reset_channels(network: SubNetwork) -> None:
    """What dropped filters have per channel is as in a new network: 1 for BatchNorm's scale and variance,
    its first slope for a PReLU, 0 for biases, shifts and means."""
    tensors = {**network.parameters, **network.buffers}
    for name, mask in network.absent_regions(0).items():
        if tensors[name].dim() == 1:
            module = network.model.get_submodule(name.rpartition(".")[0])
            tensors[name].mul_(mask).add_((1 - mask) * _first_value(module, name))


def _first_value(module: nn.Module, name: str) -> float:
    """What a new network has in a vector of this module."""
    if isinstance(module, nn.PReLU):
        return module.init
    return float(isinstance(module, _BatchNorm) and name.endswith(("weight", "var")))


@torch.no_grad()
def rewrite_readers(
    network: SubNetwork,
    rule: str,
    generator: Callable[[str], torch.Generator],
    initial: Callable[[str], Tensor],
) -> None:
    """The kernels by which other filters and linear layers read dropped filters, which stay where a dropped
    filter reads another: its weights are a restore rule's.

    Args:
        rule: `zero`; `small`: N(0, s^2), s a tenth of the standard deviation of the layer's other kernels; or
            `random`: as in a new network.
        generator: of a layer, on the CPU. initial: a parameter of a new network, on the CPU.
    """
    own = network.absent_regions(0)
    for name, mask in network.absent_regions(1).items():
        weight = network.parameters[name]
        others = own.get(name, torch.ones((), device=weight.device))  # rows that stay
        read = ((1 - mask) * others).expand_as(weight).bool()
        new = torch.zeros_like(weight)
        if rule == "small":
            spread = weight[(mask * others).expand_as(weight).bool()].std(correction=0)
            draw = generator(name.removesuffix(".weight"))
            new = SMALL * spread * torch.randn(weight.shape, generator=draw).to(weight)
        elif rule == "random":
            new = initial(name).to(weight)
        weight.copy_(torch.where(read, new, weight))


@torch.no_grad()
def recalibrate(network: SubNetwork, batches: Iterable[Tensor]) -> None:
    """Measure the running statistics of all BatchNorm layers anew: the mean over `batches` of what each
    layer sees in training mode (the variance unbiased, as torch counts it). Dropout and its like are off, so
    nothing is drawn; weights and modes stay as they are."""
    modes = {module: module.training for module in network.model.modules()}
    norms = [m for m in modes if isinstance(m, _BatchNorm) and m.running_mean is not None]
    network.model.eval()
    kept = [(norm, norm.momentum, _count(norm).clone()) for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative average
    for x in batches:
        network.forward(x)
    for norm, momentum, count in kept:
        norm.momentum = momentum
        _count(norm).copy_(count)
    for module, training in modes.items():
        module.training = training


def _count(norm: nn.Module) -> Tensor:
    """How many batches it has seen, which matters to cumulative averages only."""
    return norm.get_buffer("num_batches_tracked")
