"""The update rules against those of torch.optim, against smaller networks built by hand, and against numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import SpecError
from reprtune.spec.edit import changed
from reprtune.spec.task import ModelSpec
from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.models import build_model
from reprtune.training.platform.seeds import generator
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
    resnet_indices,
)

LR = 0.0625  # exact in any precision
RULES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "momentum": 0.9},
    "sgd without momentum": {"optimizer": "sgd", "momentum": 0.0},
    "sgd nesterov": {"optimizer": "sgd", "momentum": 0.8, "nesterov": True},
    "adam": {"optimizer": "adam", "beta1": 0.8, "beta2": 0.99, "eps": 1e-3},
    "adamw": {"optimizer": "adamw", "beta1": 0.8, "beta2": 0.99, "eps": 1e-3},
    "adam per filter": {"optimizer": "adam", "beta1": 0.8, "beta2": 0.99, "bias_correction": "filter"},
    "adamw per filter": {"optimizer": "adamw", "bias_correction": "filter"},
    "adam per filter, no beta1": {"optimizer": "adam", "beta1": 0.0, "bias_correction": "filter"},
}
CHANNELS, SIZE, CLASSES = 2, 8, 5


def rule(name: str, weight_decay: float = 0.01) -> TrainingSpec:
    fields = {f"training.{k}": v for k, v in {**RULES[name], "weight_decay": weight_decay}.items()}
    return changed(TrainingSpec(), {k.removeprefix("training."): v for k, v in fields.items()})


def by_torch(spec: TrainingSpec, parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    """The plain one of torch.optim, one parameter after the other."""
    if spec.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=LR,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            foreach=False,
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[spec.optimizer]
    betas = (spec.beta1, spec.beta2)
    return kind(parameters, lr=LR, betas=betas, eps=spec.eps, weight_decay=spec.weight_decay, foreach=False)


TORCH_NAMES = {"momentum": "momentum_buffer", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


def weights(dtype: torch.dtype) -> dict[str, nn.Parameter]:
    """A kernel in the layout of the networks, a matrix, a row; and one that gets no gradient."""
    shapes = {"kernel": (4, 3, 3, 3), "matrix": (5, 4), "row": (6,), "unused": (2, 2)}
    draw = generator(0, "weights")
    tensors = {n: torch.randn(s, generator=draw, dtype=torch.float64).to(dtype) for n, s in shapes.items()}
    tensors["kernel"] = tensors["kernel"].contiguous(memory_format=torch.channels_last)
    return {name: nn.Parameter(tensor) for name, tensor in tensors.items()}


def give_gradients(parameters: Mapping[str, nn.Parameter], number: int) -> None:
    draw = generator(0, "gradients", number)
    for name, parameter in parameters.items():
        if name != "unused":
            gradient = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.grad = torch.empty_like(parameter).copy_(gradient)  # autograd keeps the layout too


def make(name: str, parameters: Mapping[str, nn.Parameter], weight_decay: float = 0.01) -> Optimizer:
    dtype = next(iter(parameters.values())).dtype
    return Optimizer(rule(name, weight_decay), parameters.items(), torch.tensor(LR, dtype=dtype))


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", RULES)
def test_it_steps_as_torch_does(name: str, dtype: torch.dtype, weight_decay: float) -> None:
    """Weights and averages after each of 20 steps, the learning rate changed on the way: those of torch.optim
    in float64; and a parameter without a gradient stays where it was."""
    ours, theirs = weights(dtype), weights(torch.float64)
    optimizer = make(name, ours, weight_decay)
    plain = by_torch(rule(name, weight_decay), iter(theirs.values()))
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 2e-6}
    for number in range(20):
        lr = LR / (1 + number // 7)
        optimizer.lr.fill_(lr)
        plain.param_groups[0]["lr"] = lr
        give_gradients(ours, number)
        give_gradients(theirs, number)
        optimizer.step()
        plain.step()
        for key, parameter in ours.items():
            torch.testing.assert_close(parameter.detach().double(), theirs[key].detach(), **tolerance)
            for kind in set(optimizer.state) - {"count"} if key != "unused" else ():
                buffer = plain.state[theirs[key]][TORCH_NAMES[kind]]
                torch.testing.assert_close(optimizer.state[kind][key].double(), buffer, **tolerance)


KINDS = {
    "sgd": {"momentum"},
    "sgd without momentum": set(),
    "sgd nesterov": {"momentum"},
    "adam": {"exp_avg", "exp_avg_sq"},
    "adamw": {"exp_avg", "exp_avg_sq"},
    "adam per filter": {"exp_avg", "exp_avg_sq", "count"},
    "adamw per filter": {"exp_avg", "exp_avg_sq", "count"},
    "adam per filter, no beta1": {"exp_avg", "exp_avg_sq", "count"},
}


@pytest.mark.parametrize("name", RULES)
def test_all_state_is_there_from_the_start(name: str) -> None:
    """No tensor is made or replaced by a step, averages have the shape and layout of their parameter, and
    counts are one number per pair of channels."""
    parameters = weights(torch.float32)
    optimizer = make(name, parameters)
    before = {key: tensor.data_ptr() for key, tensor in optimizer.tensors().items()}
    assert set(optimizer.state) == KINDS[name]
    for number in range(3):
        give_gradients(parameters, number)
        optimizer.step()
    assert {key: tensor.data_ptr() for key, tensor in optimizer.tensors().items()} == before
    for kind, group in optimizer.state.items():
        for key, tensor in group.items():
            shape = parameters[key].shape
            assert tensor.shape == ((*shape[:2], *[1] * len(shape[2:])) if kind == "count" else shape)
            assert kind == "count" or tensor.stride() == parameters[key].stride()


@pytest.mark.parametrize("name", RULES)
def test_a_loaded_optimizer_goes_on_bit_for_bit(name: str) -> None:
    """After 5 steps, loaded into a new one, 5 more give the same bits."""
    one, other = weights(torch.float32), weights(torch.float32)
    first, second = make(name, one), make(name, other)
    for number in range(5):
        give_gradients(one, number)
        first.step()
    second.load({key: tensor.clone() for key, tensor in first.tensors().items()})
    with torch.no_grad():
        for key, parameter in other.items():
            parameter.copy_(one[key])
    for number in range(5, 10):
        for parameters, optimizer in ((one, first), (other, second)):
            give_gradients(parameters, number)
            optimizer.step()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert all(torch.equal(t, second.tensors()[key]) for key, t in first.tensors().items())


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later"])
@pytest.mark.parametrize("name", RULES)
def test_an_overflow_leaves_everything_as_it_was(name: str, first: bool) -> None:
    """With infinite and undefined gradients and `overflow` 1 not a bit of weights, averages and counts moves;
    with `overflow` 0 the next step is the one that would have come."""
    one, other = weights(torch.float32), weights(torch.float32)
    with_overflow, without = make(name, one), make(name, other)
    if not first:
        for parameters, optimizer in ((one, with_overflow), (other, without)):
            give_gradients(parameters, 0)
            optimizer.step(torch.zeros(()))
    give_gradients(one, 1)
    for key, value in (("kernel", math.inf), ("matrix", math.nan)):
        gradient = one[key].grad
        assert gradient is not None
        gradient.flatten()[0] = value
        gradient[0] = value
    before = {key: tensor.clone() for key, tensor in {**one, **with_overflow.tensors()}.items()}
    with_overflow.step(torch.ones(()))
    after = {**one, **with_overflow.tensors()}
    assert not [key for key, tensor in before.items() if not torch.equal(after[key], tensor)]
    for parameters, optimizer in ((one, with_overflow), (other, without)):
        give_gradients(parameters, 2)
        optimizer.step(torch.zeros(()))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("name", "size"),
    [("adam", 3.12), ("adamw", 3.12), ("adam per filter", 1.0), ("adamw per filter", 1.0)],
)
def test_the_first_update_of_a_restored_filter(name: str, size: float) -> None:
    """With betas 0.9 and 0.999 and averages set to 0 after 3,651 steps: (0.1 / 1) / sqrt(0.001 / 0.97407),
    which is 3.12 learning rates, where one count stands for the tensor; exactly one where each filter has
    its own. Its neighbour, for which the gradient was 1 in all steps, moves by one in both."""
    parameters = {"kernel": nn.Parameter(torch.zeros(2, 3, 3, 3))}
    fields = {**RULES[name], "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    optimizer = Optimizer(changed(TrainingSpec(), fields), parameters.items(), torch.tensor(LR))
    n_before = 3650
    counts = optimizer.tensors().get("counts", optimizer.state.get("count", {}).get("kernel"))
    assert counts is not None
    counts.fill_(n_before)
    optimizer.state["exp_avg"]["kernel"].fill_(1 - 0.9**n_before)
    optimizer.state["exp_avg_sq"]["kernel"].fill_(1 - 0.999**n_before)
    for group in optimizer.state.values():
        group["kernel"][0] = 0  # the restore
    parameters["kernel"].grad = torch.ones(2, 3, 3, 3)
    optimizer.step()
    restored, neighbour = (-parameters["kernel"].detach() / LR).flatten(1)
    torch.testing.assert_close(restored, torch.full((27,), size), rtol=1e-3, atol=0)
    torch.testing.assert_close(neighbour, torch.ones(27), rtol=1e-4, atol=0)


NETWORKS = {
    "convnet-2": ModelSpec(name="convnet-2", width=6),
    "convnet-2-bias": ModelSpec(name="convnet-2", width=6, batch_norm=False),
    "resnet-8": ModelSpec(name="resnet-8", width=4),
}


def choose(n_filters: int, numbers: Iterator[slice]) -> Tensor:
    """About 40 % dropped, of every layer the first and never the last."""
    keep = torch.rand(n_filters, generator=generator(0, "keep")) > 0.4
    for r in numbers:
        keep[r.start], keep[r.stop - 1] = False, True
    return keep


def smaller(spec: ModelSpec, kept: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Index]]:
    if spec.name.startswith("convnet"):
        rows = list(kept.values())
        small = SmallConvNet(CHANNELS, [len(r) for r in rows], CLASSES, spec.batch_norm, set())
        return small, convnet_indices(rows, spec.batch_norm)
    return SmallResNet(CHANNELS, spec.width or 0, kept, 1, CLASSES), resnet_indices(kept, 1)


def batch(number: int) -> tuple[Tensor, Tensor]:
    draw = generator(0, "batch", number)
    x = torch.randn(16, CHANNELS, SIZE, SIZE, generator=draw, dtype=torch.float64)
    return x, torch.randint(CLASSES, (16,), generator=draw)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", RULES)
def test_a_sub_network_trains_as_one_without_those_filters(name: str, network: str) -> None:
    """At each of 8 steps in float64: weights, statistics and averages are those of the smaller network
    trained by torch.optim, its own count going on; of the rest not a bit has moved."""
    model = build_model(NETWORKS[network], CHANNELS, (SIZE, SIZE), CLASSES, seed=3).double()
    filters = find_filters(model, torch.zeros(1, CHANNELS, SIZE, SIZE, dtype=torch.float64))
    optimizer = make(name, dict(model.named_parameters()))
    whole = SubNetwork(model, filters, optimizer.state)
    for number in range(3):
        descend(whole, optimizer, *batch(number))
    keep = choose(filters.n_filters, iter(filters.slices().values()))
    kept = {layer: keep[r].nonzero().flatten() for layer, r in filters.slices().items()}
    small, indices = smaller(NETWORKS[network], kept)
    small = small.double()
    fill(small, model, indices)
    plain = by_torch(rule(name), small.parameters())
    for key, parameter in small.named_parameters():
        plain.state[parameter] = {
            TORCH_NAMES[kind]: cut(group[key], indices[key]).clone()
            for kind, group in optimizer.state.items()
            if kind != "count"
        } | ({"step": torch.tensor(3.0)} if "adam" in name else {})
    whole.set_keep(keep)
    before = {key: outside(tensor, indices[plain_name(key)]).clone() for key, tensor in everything(whole)}
    for number in range(3, 11):
        descend(whole, optimizer, *batch(number))
        x, y = batch(number)
        plain.zero_grad()
        F.cross_entropy(small(x), y).backward()
        plain.step()
        own = dict(small.named_parameters())
        expected = {key: t for key, t in small.state_dict().items() if key in indices} | {
            f"{kind}/{key}": plain.state[p][TORCH_NAMES[kind]]
            for kind in set(optimizer.state) - {"count"}
            for key, p in own.items()
        }
        for key, tensor in everything(whole):
            index = indices[plain_name(key)]
            assert torch.equal(outside(tensor, index), before[key]), key
            if not key.startswith("count/"):
                torch.testing.assert_close(cut(tensor, index), expected[key], rtol=1e-8, atol=1e-10)
            else:
                assert (cut(tensor, index) == number + 1).all()


def descend(network: SubNetwork, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(network.forward(x), y).backward()
    optimizer.step()
    network.hold()


def everything(network: SubNetwork) -> Iterator[tuple[str, Tensor]]:
    """Parameters, statistics and the optimizer's state (`kind/name`)."""
    for key, tensor in network.model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            yield key, tensor
    for kind, group in network.state.items():
        yield from ((f"{kind}/{key}", tensor) for key, tensor in group.items())


def plain_name(key: str) -> str:
    return key.rpartition("/")[2]


@pytest.mark.parametrize("name", ["adagrad", "SGD", "lion"])
def test_an_unknown_optimizer_is_refused(name: str) -> None:
    """It would keep state that nobody resets at a restore."""
    with pytest.raises(SpecError, match=f"There is no training.optimizer '{name}'"):
        changed(TrainingSpec(), {"optimizer": name})
