"""The sub-network phase against smaller networks built by hand, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from reprtune.spec.task import ModelSpec
from reprtune.training.chain.state import bits_equal
from reprtune.training.models import build_model
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.hand_sliced import (
    Index,
    SmallConvNet,
    SmallResNet,
    convnet_indices,
    cut,
    fill,
    outside,
    plain_sgd,
    resnet_indices,
)

CHANNELS, SIZE, CLASSES, BATCH, STEPS = 2, 8, 5, 16, 12
SGD = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
SPECS = {
    "convnet-3": ModelSpec(width=6),
    "convnet-3-bias": ModelSpec(width=6, batch_norm=False),
    "convnet-3-pool": ModelSpec(width=6, pool=True),
    "convnet-3-bias-pool": ModelSpec(width=6, batch_norm=False, pool=True),
    "convnet-3-flat": ModelSpec(width=6, head="flatten"),
    "convnet-3-bias-pool-flat": ModelSpec(width=6, batch_norm=False, pool=True, head="flatten"),
    "resnet-8": ModelSpec(name="resnet-8", width=4),
    "resnet-20": ModelSpec(name="resnet-20", width=4),
}
TOLERANCE = {torch.float64: {"rtol": 1e-9, "atol": 1e-11}, torch.float32: {"rtol": 1e-4, "atol": 1e-5}}
Kept = Mapping[str, Tensor]


@dataclass
class Pair:
    """The whole network with filters dropped, and the small one, with the same weights and momentum."""

    whole: SubNetwork
    optimizer: torch.optim.SGD
    small: nn.Module
    small_optimizer: torch.optim.SGD
    indices: Mapping[str, Index]
    dtype: torch.dtype

    def step(self, number: int) -> tuple[Tensor, Tensor]:
        """One step of both on the same batch; their logits."""
        x, y = batch(number, self.dtype)
        logits = self.whole.forward(x)
        self.optimizer.zero_grad()
        F.cross_entropy(logits, y).backward()
        self.optimizer.step()
        self.whole.hold()
        others = self.small(x)
        self.small_optimizer.zero_grad()
        F.cross_entropy(others, y).backward()
        self.small_optimizer.step()
        return logits.detach(), others.detach()

    def tensors(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, of the whole network, of the small one): parameters, statistics and momentum."""
        small, whole = self.small.state_dict(), self.whole.whole_state()
        for name in self.indices:
            yield name, whole[name], small[name]
        for name, parameter in self.small.named_parameters():
            buffer = self.small_optimizer.state[parameter]["momentum_buffer"]
            yield f"{name}, momentum", self.whole.state["momentum"][name], buffer

    def logits(self) -> tuple[Tensor, Tensor]:
        """In evaluation mode."""
        x, _ = batch(999, self.dtype)
        self.whole.model.eval()
        self.small.eval()
        with torch.no_grad():
            both = self.whole.forward(x), self.small(x)
        self.whole.model.train()
        self.small.train()
        return both


def batch(number: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    draw = generator(0, "batch", number)
    x = torch.randn(BATCH, CHANNELS, SIZE, SIZE, generator=draw, dtype=torch.float64)
    y = torch.randint(CLASSES, (BATCH,), generator=draw)
    return x.to(dtype).contiguous(memory_format=torch.channels_last), y


def build(name: str, dtype: torch.dtype) -> tuple[nn.Module, FilterMap]:
    model = build_model(SPECS[name], CHANNELS, (SIZE, SIZE), CLASSES, seed=3).to(dtype)
    return model, find_filters(model, torch.zeros(1, CHANNELS, SIZE, SIZE, dtype=dtype))


def choose(filters: FilterMap, seed: int = 0) -> Tensor:
    """About 40 % are dropped, of every layer, the first too; of the second all but one."""
    keep = torch.rand(filters.n_filters, generator=generator(seed, "keep")) > 0.4
    for i, numbers in enumerate(filters.slices().values()):
        if i == 1:
            keep[numbers] = False
        keep[numbers.start] = i % 2 == 0  # of every other layer the first filter is one of the dropped
        keep[numbers.stop - 1] = True
    return keep


def by_hand(name: str, kept: Kept) -> tuple[nn.Module, Mapping[str, Index]]:
    """The small network, and what it has of the whole one."""
    spec = SPECS[name]
    if spec.name.startswith("convnet"):
        rows = list(kept.values())
        pooled = {1, 2} if spec.pool else set()
        widths = [len(r) for r in rows]
        side = SIZE // 4 if spec.pool else SIZE
        pixels = side * side if spec.head == "flatten" else 0
        small = SmallConvNet(CHANNELS, widths, CLASSES, spec.batch_norm, pooled, pixels)
        return small, convnet_indices(rows, spec.batch_norm, pixels)
    n_blocks = (int(spec.name.removeprefix("resnet-")) - 2) // 6
    return SmallResNet(CHANNELS, spec.width or 0, kept, n_blocks, CLASSES), resnet_indices(kept, n_blocks)


def kept_rows(filters: FilterMap, keep: Tensor) -> Kept:
    return {name: keep[numbers].nonzero().flatten() for name, numbers in filters.slices().items()}


def make_pair(name: str, dtype: torch.dtype) -> Pair:
    """After five steps of the whole network, so that momentum and statistics are not those of a new one."""
    model, filters = build(name, dtype)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    for number in range(-5, 0):
        x, y = batch(number, dtype)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    momentum = {n: optimizer.state[p]["momentum_buffer"] for n, p in model.named_parameters()}
    keep = choose(filters)
    small, indices = by_hand(name, kept_rows(filters, keep))
    small = small.to(dtype)
    fill(small, model, indices)
    whole = SubNetwork(model, filters, {"momentum": momentum})
    whole.set_keep(keep)
    return Pair(whole, optimizer, small, plain_sgd(small, momentum, indices, **SGD), indices, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SPECS)
def test_it_trains_as_the_network_without_those_filters(name: str, dtype: torch.dtype) -> None:
    """At each of 12 steps: logits of the step and of an evaluation, weights, momentum, BatchNorm's
    parameters and running statistics are those of the smaller network trained by plain SGD; and of
    everything else in the whole network not a bit has moved."""
    pair = make_pair(name, dtype)
    frozen = {key: outside(whole, index_of(pair, key)).clone() for key, whole, _ in pair.tensors()}
    assert sum(values.numel() for values in frozen.values()) > 100
    for number in range(STEPS):
        close = {"step": pair.step(number), "evaluation": pair.logits()}
        for key, whole, small in pair.tensors():
            close[key] = (cut(whole, index_of(pair, key)), small)
            assert torch.equal(outside(whole, index_of(pair, key)), frozen[key]), f"{key}, step {number}"
        for key, (found, expected) in close.items():
            torch.testing.assert_close(
                found, expected, **TOLERANCE[dtype], msg=lambda m, k=key, n=number: f"{k}, step {n}: {m}"
            )


def index_of(pair: Pair, key: str) -> Index:
    return pair.indices[key.removesuffix(", momentum")]


def test_all_of_it_moved() -> None:
    """The comparison above is no comparison of standstill: each tensor of the small network moves."""
    pair = make_pair("resnet-8", torch.float64)
    before = {key: small.clone() for key, _, small in pair.tensors()}
    pair.step(0)
    assert not [key for key, _, small in pair.tensors() if torch.equal(small, before[key])]


def test_the_smaller_network_is_another() -> None:
    """With only one of its filters kept instead of dropped, the logits are different ones."""
    pair = make_pair("convnet-3", torch.float64)
    found, expected = pair.logits()
    torch.testing.assert_close(found, expected)
    keep = pair.whole.keep.clone()
    keep[int((~keep).nonzero()[0])] = True
    pair.whole.set_keep(keep)
    assert (pair.logits()[0] - expected).abs().max() > 1e-3


def test_the_full_network_is_untouched() -> None:
    """With all filters kept, it is the network itself, and nothing is put back after a step."""
    pair = make_pair("convnet-3", torch.float32)
    pair.whole.set_keep(torch.ones_like(pair.whole.keep))
    x, _ = batch(0, torch.float32)
    pair.whole.model.eval()
    assert torch.equal(pair.whole.forward(x), pair.whole.model(x))
    before = {name: value.clone() for name, value in pair.whole.model.state_dict().items()}
    pair.whole.hold()
    assert all(torch.equal(value, before[name]) for name, value in pair.whole.model.state_dict().items())


@pytest.mark.parametrize("name", SPECS)
def test_flops_are_those_that_torch_counts(name: str) -> None:
    """Three times the forward pass on one image, of the whole network and of the smaller one."""
    model, filters = build(name, torch.float32)
    keep = choose(filters)
    small, _ = by_hand(name, kept_rows(filters, keep))
    everything = torch.ones_like(keep)
    for network, present in ((model, everything), (small, keep)):
        assert filters.train_flops(present) == 3 * count_flops(network)


def count_flops(network: Callable[[Tensor], Tensor]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, CHANNELS, SIZE, SIZE))
    return counter.get_total_flops()


@pytest.mark.parametrize("name", SPECS)
def test_every_convolution_can_be_dropped(name: str) -> None:
    """All of them, the first being the one that reads the images; numbers run through the layers in order."""
    model, filters = build(name, torch.float32)
    convolutions = {n: m.out_channels for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert dict(filters.layers) == convolutions
    assert list(filters.layers) == list(convolutions)
    assert filters.first == {"conv1"}
    assert not filters.kept_out
    ends = [(s.start, s.stop) for s in filters.slices().values()]
    assert [start for start, _ in ends] == [0, *(stop for _, stop in ends[:-1])]
    assert ends[-1][1] == filters.n_filters == sum(convolutions.values())


@pytest.mark.parametrize("drop", ["exact", "weights-only"])
@pytest.mark.parametrize("name", ["convnet-3-bias", "resnet-8"])
def test_bounds_that_stay_where_they_are_change_nothing(name: str, drop: str) -> None:
    """Through full, sub, another sub and full training, static and dynamic bounds give the same bits; every
    static mask and bound keeps its place in memory, so that a captured step stays valid."""
    pairs = []
    for static in (False, True):
        model, filters = build(name, torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), **SGD)
        momentum = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
        for n, p in model.named_parameters():
            optimizer.state[p]["momentum_buffer"] = momentum[n]
        pairs.append((SubNetwork(model, filters, {"momentum": momentum}, drop, static), optimizer))
    places = addresses(pairs[1][0])
    filters = pairs[0][0].filters
    everything = torch.ones(filters.n_filters, dtype=torch.bool)
    for phase, keep in enumerate((everything, choose(filters), choose(filters, 1), everything)):
        for network, optimizer in pairs:
            network.set_keep(keep)
            for number in range(2):
                x, y = batch(2 * phase + number, torch.float32)
                optimizer.zero_grad()
                F.cross_entropy(network.forward(x), y).backward()
                optimizer.step()
                network.hold()
        dynamic, static = (network for network, _ in pairs)
        for found, expected in zip(tensors_of(static), tensors_of(dynamic), strict=True):
            assert bits_equal(found, expected)
        weights = dynamic.filter_weights()
        assert all(torch.equal(w, weights[layer]) for layer, w in static.filter_weights().items())
        assert addresses(static) == places and len(places) > 10


def tensors_of(network: SubNetwork) -> list[Tensor]:
    return [*network.whole_state().values(), *network.state["momentum"].values()]


def addresses(network: SubNetwork) -> list[int]:
    """Of everything that a step reads beside parameters, statistics and momentum."""
    held = network._held
    return [t.data_ptr() for t in (*network._present.values(), *held.tensors, *held.low, *held.high)]


@pytest.mark.parametrize("static", [False, True])
def test_weights_only_silences_and_holds_the_convolutions_alone(static: bool) -> None:
    """Also of a residual network: everything else, the shortcuts' BatchNorm and readers too, moves as in the
    network whose dropped filters are set to 0 before each step, and costs what the whole network costs."""
    model, filters = build("resnet-8", torch.float64)
    other, _ = build("resnet-8", torch.float64)
    momentum = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    network = SubNetwork(model, filters, {"momentum": momentum}, "weights-only", static)
    keep = choose(filters)
    old = {n: model.get_parameter(f"{n}.weight").detach().clone() for n in filters.layers}
    network.set_keep(keep)
    gone = {n: ~keep[numbers] for n, numbers in filters.slices().items()}
    optimizers = [torch.optim.SGD(m.parameters(), **SGD) for m in (model, other)]
    for n, p in model.named_parameters():
        optimizers[0].state[p]["momentum_buffer"] = momentum[n]
    for number in range(4):
        x, y = batch(number, torch.float64)
        with torch.no_grad():
            for n, rows in gone.items():
                other.get_parameter(f"{n}.weight")[rows] = 0
        for forward, optimizer in zip((network.forward, other), optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(forward(x), y).backward()
            optimizer.step()
        network.hold()
    for key, value in network.whole_state().items():
        layer = key.removesuffix(".weight")
        rows = gone.get(layer, torch.zeros(len(value) if value.dim() else 0, dtype=torch.bool))
        torch.testing.assert_close(kept_of(model, key, rows), kept_of(other, key, rows))
        if layer in gone:
            assert torch.equal(value[rows], old[layer][rows]) and not momentum[key][rows].any()
    assert network.train_flops() == filters.train_flops(torch.ones_like(keep))


def kept_of(model: nn.Module, key: str, rows: Tensor) -> Tensor:
    value: Tensor = model.state_dict()[key]
    return value[~rows] if value.dim() else value
