"""What makes the gate of a dropped channel belongs to the filter, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from reprtune.training.parts.restore_rules import reset_channels, reset_optimizer
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.dropping import images, shaken, without
from tests.training.gated_networks import MixedGate, NormedGate, OwnGate, ReadGate
from tests.training.test_removal import built, choice
from tests.training.toy_networks import ConvolvedGate, Gate

LAYER = ("excite.weight", "excite.bias")
NORM = tuple(f"gate_bn.{key}" for key in ("weight", "bias", "running_mean", "running_var"))
GATED: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "linear": (Gate, LAYER),
    "convolved": (ConvolvedGate, LAYER),
    "normed": (NormedGate, (*LAYER, *NORM, "slope.weight")),
    "own parameters": (OwnGate, ("table", "shift")),
    "read elsewhere": (ReadGate, ()),
    "mixed": (MixedGate, ()),
}
SGD = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1}


def trained(model: nn.Module, x: Tensor, network: SubNetwork | None = None) -> torch.optim.SGD:
    """Two steps with momentum and decay of the whole network, or of what there is of it."""
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        if network is not None:
            network.hold()
    return optimizer


def dropped(make: Callable[[], nn.Module]) -> tuple[SubNetwork, torch.optim.SGD, Tensor]:
    """Some filters are dropped after two steps; the last are those of conv1."""
    torch.manual_seed(0)
    model = shaken(make()).train()
    optimizer = trained(model, images())
    filters = find_filters(model, images()[:1])
    network = without(model, filters)
    network.state = {
        "momentum": {n: optimizer.state[p]["momentum_buffer"] for n, p in model.named_parameters()}
    }
    network.set_keep(network.keep)
    return network, optimizer, ~network.keep[filters.slices()["conv1"]]


def step(network: SubNetwork, optimizer: torch.optim.SGD) -> None:
    optimizer.zero_grad()
    network.forward(images()).square().mean().backward()
    optimizer.step()
    network.hold()


def everything(network: SubNetwork) -> dict[str, Tensor]:
    momentum = {f"{name}, momentum": m for name, m in network.state["momentum"].items()}
    return {name: t.clone() for name, t in (network.whole_state() | momentum).items()}


@pytest.mark.parametrize("name", GATED)
def test_the_gate_of_a_dropped_channel_stands_still(name: str) -> None:
    """Under momentum and decay no bit moves of the rows that make it, nor of what lies on its way, while the
    rows of other channels do; a gate that does more than scale moves on as a whole."""
    make, held = GATED[name]
    network, optimizer, gone = dropped(make)
    before = everything(network)
    for _ in range(3):
        step(network, optimizer)
    after = everything(network)
    for key in held:
        for kind in ("", ", momentum")[: 2 - ("running" in key)]:
            now, then = after[key + kind], before[key + kind]
            assert torch.equal(now[gone], then[gone]), key
            assert (now[~gone] != then[~gone]).any(), key
    if not held:
        assert (after["excite.weight"][gone] != before["excite.weight"][gone]).all()
        assert (after["excite.bias"][gone] != before["excite.bias"][gone]).all()


@pytest.mark.parametrize("name", GATED)
def test_nothing_else_belongs_to_the_filter(name: str) -> None:
    """By name: the convolution, its BatchNorm, what reads it, and the gate's."""
    make, held = GATED[name]
    filters = find_filters(make(), images()[:1])
    numbers = filters.slices()["conv1"]
    found = {
        use.name
        for use in filters.owned
        if use.dim == 0 and ((use.owner >= numbers.start) & (use.owner < numbers.stop)).any()
    }
    norm = {f"bn1.{key}" for key in ("weight", "bias", "running_mean", "running_var")}
    assert found == {"conv1.weight", "conv1.bias", *norm, *held}


def test_a_gate_that_does_not_scale_filters_is_nobodys() -> None:
    """Of a stream that nobody owns."""

    class Stream(Gate):
        def forward(self, x: Tensor) -> Tensor:
            x = self.conv1(x) + self.bn1(self.conv1b(x))
            gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3))))))
            return self.fc(torch.relu(self.conv2(x * gate[:, :, None, None])).mean((2, 3)))

        def __init__(self) -> None:
            super().__init__()
            self.conv1b = nn.Conv2d(3, 4, 3, padding=1)

    filters = find_filters(Stream(), images()[:1])
    assert not [use for use in filters.owned if use.name.startswith("excite")]


def test_the_gate_comes_back_with_its_filter() -> None:
    """Biases and BatchNorm as in a new network, kernel rows as they were, momentum 0; those of other channels
    are not touched."""
    network, optimizer, gone = dropped(NormedGate)
    step(network, optimizer)
    before = everything(network)
    with network.whole():
        reset_optimizer(network)
        reset_channels(network)
    after = everything(network)
    new = {"excite.bias": 0.0, "gate_bn.weight": 1.0, "gate_bn.bias": 0.0, "slope.weight": 0.25}
    new |= {"gate_bn.running_mean": 0.0, "gate_bn.running_var": 1.0}
    for key, value in new.items():
        assert (after[key][gone] == value).all() and torch.equal(after[key][~gone], before[key][~gone])
    assert torch.equal(after["excite.weight"], before["excite.weight"])
    for key in (*LAYER, "gate_bn.weight", "slope.weight"):
        assert not after[f"{key}, momentum"][gone].any() and after[f"{key}, momentum"][~gone].any()


def test_the_cost_of_a_gate() -> None:
    """By hand, of 4 filters 3 kept, 64 pixels: 9 * 64 * (3 * 3 + 3 * 5) + 3 * 2 + 2 * 3 + 5 * 6."""
    filters = find_filters(Gate(), images()[:1])
    keep = torch.ones(filters.n_filters, dtype=torch.bool)
    keep[1] = False
    assert filters.train_flops(keep) == 6 * (9 * 64 * (3 * 3 + 3 * 5) + 3 * 2 + 2 * 3 + 5 * 6)


def test_torchvisions_gates() -> None:
    """In mobilenet_v3_small a step moves no row of the fc2 of a block for channels that the block has
    dropped: those of its expansion, which its depthwise convolution passes on."""
    model, filters, size = built("mobilenet_v3_small")
    network = SubNetwork(model.train(), filters, {})
    network.set_keep(choice(filters))
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    layers = {n: m for n, m in model.named_modules() if n.endswith("fc2")}
    assert len(layers) == 9
    before = {n: (m.weight.detach().clone(), m.bias.detach().clone()) for n, m in layers.items()}
    trained(model, x, network)
    for name, module in layers.items():
        block = name.rpartition(".block.")[0]
        expansion = f"{block}.block.0.0" if len(module.weight) != 16 else "features.0.0"
        gone = ~network.keep[filters.slices()[expansion]]
        for now, then in zip((module.weight, module.bias), before[name], strict=True):
            assert torch.equal((now != then).reshape(len(now), -1).any(1), ~gone), name
