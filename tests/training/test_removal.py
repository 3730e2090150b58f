"""Dropping is removing: every network against itself with the filters physically absent."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from reprtune.spec.task import ModelSpec
from reprtune.training.models import build_model
from reprtune.training.platform.seeds import generator
from reprtune.training.platform.torchvision_import import models
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.costly_networks import Functional
from tests.training.gated_networks import NormedGate
from tests.training.removed import Removed
from tests.training.toy_networks import ConvolvedGate, Gate

CLASSES, BATCH = 5, 2


def own(name: str, size: int = 16, **options: Any) -> nn.Module:
    return build_model(ModelSpec(name=name, **options), 3, (size, size), CLASSES, seed=0)


def torchvision(name: str, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return getattr(models, name)(weights=None, num_classes=CLASSES, **options)


def vgg11_bn() -> nn.Module:
    """With narrow linear layers; the original's hold 120 million numbers."""
    model = torchvision("vgg11_bn", init_weights=False)
    model.classifier[0], model.classifier[3] = nn.Linear(512 * 7 * 7, 8), nn.Linear(8, 8)
    model.classifier[6] = nn.Linear(8, CLASSES)
    return model


PLAIN = {"aux_logits": False, "init_weights": False}
QUICK: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "convnet-3": (partial(own, "convnet-3", width=6), 16),
    "convnet-3, bias, pooling": (partial(own, "convnet-3", width=6, batch_norm=False, pool=True), 16),
    "convnet-3, flat": (partial(own, "convnet-3", width=6, size=8, head="flatten"), 8),
    "convnet-3, bias, pooling, flat": (
        partial(own, "convnet-3", width=6, batch_norm=False, pool=True, head="flatten"),
        16,
    ),
    "resnet-20": (partial(own, "resnet-20", width=4), 16),
    "vgg11-bn": (partial(own, "vgg11-bn", size=32), 32),
    "densenet-10-4": (partial(own, "densenet-10-4"), 16),
    "resnet18": (partial(torchvision, "resnet18"), 64),
    "mobilenet_v2": (partial(torchvision, "mobilenet_v2"), 64),
    "mobilenet_v3_small": (partial(torchvision, "mobilenet_v3_small"), 64),
    "functional": (Functional, 8),
    "gate": (Gate, 8),
    "convolved-gate": (ConvolvedGate, 8),
    "normed-gate": (NormedGate, 8),
}
SLOW: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "vgg16-bn": (partial(own, "vgg16-bn", size=32), 32),
    "densenet-40-12": (partial(own, "densenet-40-12", size=32), 32),
    "vgg11_bn": (vgg11_bn, 64),
    "densenet121": (partial(torchvision, "densenet121"), 64),
    "googlenet": (partial(torchvision, "googlenet", **PLAIN), 64),
    "efficientnet_b0": (partial(torchvision, "efficientnet_b0"), 64),
    "inception_v3": (partial(torchvision, "inception_v3", **PLAIN), 75),
    "resnext50_32x4d": (partial(torchvision, "resnext50_32x4d"), 64),
    "squeezenet1_1": (partial(torchvision, "squeezenet1_1"), 64),
}
NETWORKS = QUICK | SLOW
MARKED = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def built(name: str) -> tuple[nn.Module, FilterMap, int]:
    """In float64, nothing random in its forward pass, and every number of a channel away from 0 and 1."""
    build, size = NETWORKS[name]
    model = build().double()
    for module in model.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__ == "StochasticDepth":
            module.p = 0.0  # type: ignore[assignment]
    draw = generator(0, "vectors")
    with torch.no_grad():
        for key, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.dim() == 1:
                noise = 0.3 * torch.randn(tensor.shape, generator=draw, dtype=torch.float64)
                tensor.add_(noise.abs() if key.endswith("var") else noise)
    return model, find_filters(model, torch.zeros(1, 3, size, size, dtype=torch.float64)), size


def choice(filters: FilterMap) -> Tensor:
    """About 30 % of the filters are dropped, at least one of each layer that has two, never all."""
    keep = torch.rand(filters.n_filters, generator=generator(0, "keep")) > 0.3
    for numbers in filters.slices().values():
        keep[numbers.start], keep[numbers.stop - 1] = False, True
    return keep


def absent(filters: FilterMap, keep: Tensor) -> dict[str, Tensor]:
    return {name: (~keep[numbers]).nonzero().flatten() for name, numbers in filters.slices().items()}


def assert_near(actual: Tensor, expected: Tensor, what: str, floor: float = 0.0) -> None:
    """Within 1e-9 of its largest number; `floor` is what rounding leaves of a number that should be 0."""
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(
        actual, expected, rtol=1e-9, atol=max(1e-9 * scale, floor),
        msg=lambda m: f"{what} (up to {scale:.3g}): {m}",
    )  # fmt: skip


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", MARKED)
def test_dropping_is_removing(name: str, training: bool) -> None:
    """The same logits, gradients of everything that is present, and running statistics, of which those that are
    absent stand still."""
    model, filters, size = built(name)
    keep = choice(filters)
    other = copy.deepcopy(model).train(training)
    network = SubNetwork(model.train(training), filters, {})
    network.set_keep(keep)
    draw = generator(0, "images")
    x = torch.randn(BATCH, 3, size, size, generator=draw, dtype=torch.float64)
    y = torch.randint(CLASSES, (BATCH,), generator=draw)
    logits, expected = network.forward(x), Removed(other, absent(filters, keep)).logits(x)
    assert_near(logits, expected, "logits")
    assert expected.std() > 1e-3
    F.cross_entropy(logits, y).backward()
    F.cross_entropy(expected, y).backward()
    network.hold()
    present, nothing = network.absent_regions(), torch.ones((), dtype=torch.float64)
    pairs = [
        (key, mine.grad * present.get(key, nothing), theirs.grad)
        for (key, mine), theirs in zip(model.named_parameters(), other.parameters(), strict=True)
    ]
    floor = 1e-13 * max(float(theirs.abs().max()) for _, _, theirs in pairs)  # of shifts before a BatchNorm
    for key, mine, theirs in pairs:
        assert_near(mine, theirs, key, floor)
    for (key, mine), theirs in zip(model.named_buffers(), other.buffers(), strict=True):
        if not key.endswith("num_batches_tracked"):
            assert_near(mine, theirs, key)


@pytest.mark.parametrize("name", MARKED)
def test_operations_are_those_of_the_smaller_network(name: str) -> None:
    """Three times what torch counts in the forward pass of one image where the filters are absent."""
    model, filters, size = built(name)
    keep = choice(filters)
    small = Removed(model.eval(), absent(filters, keep))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        small.logits(torch.zeros(1, 3, size, size, dtype=torch.float64))
    assert filters.train_flops(keep) == 3 * counter.get_total_flops()
