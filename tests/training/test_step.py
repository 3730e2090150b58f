"""float16 and its loss scale, without waiting, by the rules of torch.amp.GradScaler."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from reprtune.spec.training import PRECISIONS
from reprtune.training.descent.loss_scale import LossScale
from reprtune.training.descent.step import AUTOCAST
from reprtune.training.platform.seeds import generator
from tests.training.tiny import same_bits, spec, trial_networks

CPU = torch.device("cpu")
ADAM = {"training__optimizer": "adam", "training__lr": 0.003}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adam": ADAM,
    "adamw": {**ADAM, "training__optimizer": "adamw"},
    "adam per filter": {**ADAM, "training__bias_correction": "filter"},
}


def batch() -> tuple[Tensor, Tensor]:
    draw = generator(0, "batch")
    return torch.randn(16, 1, 8, 8, generator=draw), torch.randint(10, (16,), generator=draw)


def gradients_of(value: float) -> list[Tensor]:
    return [torch.tensor([1.0, 2.0]), torch.tensor([[value]])]


def test_the_scale_moves_as_that_of_torch() -> None:
    """Over 4,100 steps with overflows at 3, 4 and 2,500: the scale of GradScaler after each, the same steps
    skipped, and the gradients divided by the scale before it moves."""
    ours = LossScale(CPU)
    theirs = torch.amp.GradScaler("cpu")
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs.scale(torch.zeros(1))
    seen = set()
    for step in range(4100):
        value = {3: math.inf, 4: -math.inf, 2500: math.nan}.get(step, 1.0)
        scale = float(ours.scale)
        gradient = torch.tensor([value * scale])
        overflow = ours.unscale([gradient])
        assert float(overflow) == float(not math.isfinite(value))
        assert math.isnan(value) or float(gradient) == value
        with torch.no_grad():
            parameter.zero_()
        parameter.grad = torch.tensor([value * theirs.get_scale()])
        theirs.step(optimizer)
        assert bool(parameter.detach().any()) == (float(overflow) == 0)
        theirs.update()
        assert float(ours.scale) == theirs.get_scale()
        seen.add(float(ours.scale))
    assert seen == {65536.0, 32768.0, 16384.0}


def test_the_scale_grows() -> None:
    """Doubled by the 2,000th step in a row without an overflow."""
    scale = LossScale(CPU)
    scale.growth.fill_(1998)
    scale.unscale(gradients_of(1.0))
    assert (float(scale.scale), int(scale.growth)) == (65536.0, 1999)
    scale.unscale(gradients_of(1.0))
    assert (float(scale.scale), int(scale.growth)) == (131072.0, 0)


def as_it_is(network: Any) -> dict[str, Tensor]:
    """Parameters and what the optimizer knows, without the loss scale, copied."""
    named = {**dict(network.model.named_parameters()), **network.step.optimizer.tensors()}
    return {name: tensor.detach().clone() for name, tensor in named.items()}


@pytest.mark.parametrize("dropped", [False, True], ids=["full", "sub"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_overflows_changes_nothing_but_the_scale(optimizer: str, dropped: bool) -> None:
    """With a scale of 2^120 the gradients are infinite: weights, averages and counts stay bit for bit, and the
    scale is halved; with the old scale the next step moves them."""
    network = trial_networks(spec(training__precision="fp16", **OPTIMIZERS[optimizer]))
    step, scale = network.step, network.step.loss_scale
    assert scale is not None
    if dropped:
        keep = torch.ones(network.filters.n_filters, dtype=torch.bool)
        keep[[7, 9, 13]] = False
        network.network.set_keep(keep)
    step.lr.fill_(0.01)
    x, y = batch()
    step(x, y)
    before = as_it_is(network)
    scale.scale.fill_(2.0**120)
    step(x, y)
    assert float(scale.scale) == 2.0**119
    assert all(torch.equal(tensor, before[name]) for name, tensor in as_it_is(network).items())
    scale.scale.fill_(65536.0)
    step(x, y)
    after = as_it_is(network)
    assert float(scale.scale) == 65536.0
    assert not [n for n in before if torch.equal(after[n], before[n]) and before[n].numel() > 60]
    assert all(tensor.isfinite().all() for tensor in after.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_scaled_gradients_are_those_of_the_loss(optimizer: str) -> None:
    """One step of fp16 from the same weights as one of fp32 has nearly the same update (float16 has 11 bits)."""
    updates = []
    x, y = batch()
    for precision in ("fp32", "fp16"):
        network = trial_networks(spec(training__precision=precision, training__eps=1e-3, **OPTIMIZERS[optimizer])
                       if optimizer != "sgd" else spec(training__precision=precision))  # fmt: skip
        network.step.lr.fill_(0.0625)
        before = network.model.fc.weight.detach().clone()  # type: ignore[union-attr,operator]
        network.step(x, y)
        updates.append((network.model.fc.weight.detach() - before).flatten())  # type: ignore[union-attr,operator]
    assert F.cosine_similarity(*updates, dim=0) > 0.99
    assert float(updates[1].norm() / updates[0].norm()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_float16_scales_its_loss(precision: str) -> None:
    """And says so in what it saves."""
    step = trial_networks(spec(training__precision=precision)).step
    assert ({"scale", "growth"} <= set(step.tensors())) == (precision == "fp16")
    assert (step.loss_scale is not None) == (precision == "fp16")


def test_the_scale_is_loaded_with_a_state() -> None:
    """Scale and count of growth, bit for bit."""
    one, other = (trial_networks(spec(training__precision="fp16")) for _ in range(2))
    assert one.step.loss_scale is not None and other.step.loss_scale is not None
    one.step.loss_scale.scale.fill_(2.0**9)
    one.step.loss_scale.growth.fill_(77)
    other.load(one.save())
    for name, tensor in one.step.loss_scale.tensors().items():
        assert same_bits(other.step.loss_scale.tensors()[name], tensor)
    assert int(other.step.loss_scale.growth) == 77


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_evaluation_has_the_precision_of_training(precision: str) -> None:
    """The convolutions compute in the same type in both."""
    network = trial_networks(spec(training__precision=precision))
    seen = []
    network.model.conv2.register_forward_hook(lambda _m, _x, y: seen.append(y.dtype))  # type: ignore[union-attr]
    network.step(*batch())
    network.evaluate(network.task.val)
    assert set(seen) == {AUTOCAST[precision]} and len(seen) >= 2


class Layouts(TorchDispatchMode):
    """Notes the gradients of images that an operation gets in another layout than channels-last."""

    def __init__(self) -> None:
        super().__init__()
        self.n_seen, self.slow = 0, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "backward" in str(func) and isinstance(args[0], Tensor) and args[0].dim() == 4:
            self.n_seen += 1
            if not args[0].is_contiguous(memory_format=torch.channels_last):
                self.slow.append(f"{func} {tuple(args[0].shape)}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["convnet-3", "resnet-8"])
def test_gradients_keep_the_fast_layout(name: str, precision: str) -> None:
    """Of every operation on images, also where the shortcuts of a ResNet change the shape: one that comes in
    another order of numbers takes ten times as long."""
    network = trial_networks(spec(**{"model.name": name, "model.width": 4, "training.precision": precision}))
    x, y = batch()
    with Layouts() as layouts:
        network.step(x.contiguous(memory_format=torch.channels_last), y)
    assert layouts.n_seen > 6
    assert not layouts.slow
