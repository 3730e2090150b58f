"""Criteria that look at data, against loops over single images in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.training.parts.criteria.requirements import check_requirements
from reprtune.training.parts.overlaps import detached
from tests.training.parts import scored
from tests.training.small_net import LAYERS, N_IMAGES, SmallNet, activations, context, images, network
from tests.training.tiny import spec, trial_networks
from tests.training.toy_networks import TOYS

Scores = dict[str, Tensor]


def exact(net: SmallNet) -> SmallNet:
    """A copy in float64."""
    return copy.deepcopy(net).double()


def examples() -> list[tuple[Tensor, Tensor]]:
    x, y = images()
    return [(x[i : i + 1].double(), y[i : i + 1]) for i in range(N_IMAGES)]


def magnitudes(net: SmallNet) -> Scores:
    found = activations(net, images()[0].double())[1]
    return {name: -a.abs().mean((0, 2, 3)) for name, a in found.items()}


def zeros(net: SmallNet) -> Scores:
    found = activations(net, images()[0].double())[1]
    return {name: (a == 0).double().mean((0, 2, 3)) for name, a in found.items()}


def products(net: SmallNet) -> dict[str, Tensor]:
    """a dL_b/da of every image, (n, J, M)."""
    found: dict[str, list[Tensor]] = {name: [] for name in LAYERS}
    for x, y in examples():
        logits, seen = activations(net, x)
        gradients = torch.autograd.grad(F.cross_entropy(logits, y), list(seen.values()))
        for (name, a), gradient in zip(seen.items(), gradients, strict=True):
            found[name].append((a * gradient)[0].flatten(1).detach())
    return {name: torch.stack(rows) for name, rows in found.items()}


def taylor(net: SmallNet) -> Scores:
    means = {name: p.mean(2).abs().mean(0) for name, p in products(net).items()}
    return {name: -mean / mean.square().sum().sqrt() for name, mean in means.items()}


def gates(net: SmallNet) -> Scores:
    """64 images and then the other 6."""
    scores = {}
    for name, p in products(net).items():
        first, last = (part.sum(2).mean(0).square() for part in (p[:64], p[64:]))
        scores[name] = -(64 * first + 6 * last) / 70
    return scores


def damage(net: SmallNet) -> Scores:
    weights = {name: net.get_submodule(name).weight for name in LAYERS}
    fisher = {name: torch.zeros_like(w) for name, w in weights.items()}
    for x, y in examples():
        loss = F.cross_entropy(activations(net, x)[0], y)
        for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            fisher[name] += gradient**2 / N_IMAGES
    return {name: -0.5 * (fisher[name] * w**2).sum((1, 2, 3)).detach() for name, w in weights.items()}


@torch.no_grad()
def losses(net: SmallNet) -> Scores:
    """Every filter silenced in the weights themselves: those, the bias or BatchNorm's scale and shift are 0."""
    x, y = images()
    whole = F.cross_entropy(activations(net, x.double())[0], y)
    scores = {}
    for name, after in {"conv1": "bn1", "conv2": "conv2", "conv3": "bn3"}.items():
        rises = []
        for j in range(LAYERS[name]):
            cut = copy.deepcopy(net)
            for module in (cut.get_submodule(name), cut.get_submodule(after)):
                for parameter in module.parameters():
                    parameter[j] = 0
            rises.append(F.cross_entropy(activations(cut, x.double())[0], y) - whole)
        scores[name] = -torch.stack(rises)
    return scores


REFERENCES: dict[str, Callable[[SmallNet], Scores]] = {
    "activation": magnitudes,
    "apoz": zeros,
    "taylor": taylor,
    "taylor-fo": gates,
    "hessian": damage,
    "oracle": losses,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_scores_are_those_of_the_definition(name: str) -> None:
    """To the digits of float32, for a 3x3, a 1x1 and a residual layer, though later layers overwrite."""
    net = network()
    found = scored(name, detached(net), context(net))
    expected = REFERENCES[name](exact(net.model))
    assert list(found) == list(LAYERS)
    for layer, scores in found.items():
        assert scores.unique().numel() > 1 or (name, layer) == ("apoz", "conv3")  # which has no ReLU
        largest = expected[layer].abs().max().item()
        assert scores.tolist() == pytest.approx(expected[layer].tolist(), rel=1e-4, abs=1e-5 * largest)


def test_bn_gamma_is_the_scale_after_the_filter() -> None:
    """Minus its absolute value, as it is: layers share one scale."""
    net = network()
    layers = {name: w for name, w in detached(net).items() if name != "conv2"}
    with torch.no_grad():
        net.model.bn1.weight.copy_(torch.tensor([0.5, -2, 0, 1, 0.25]))
    found = scored("bn-gamma", layers, context(net))
    assert found["conv1"].tolist() == [-0.5, -2, 0, -1, -0.25]
    assert found["conv3"].tolist() == [-abs(v) for v in net.model.bn3.weight.tolist()]


def test_bn_gamma_refuses_layers_without_batch_norm() -> None:
    """It names them and the field that leaves them out; left out, they are no obstacle."""
    net = network()
    with pytest.raises(SpecError, match=r"but conv2 has none\.\n.*method\.exclude"):
        scored("bn-gamma", detached(net), context(net))
    check_requirements("bn-gamma", ["conv1", "conv3"], net.filters)
    check_requirements("l1", LAYERS, net.filters)


def test_what_a_criterion_lacks_is_said_before_training() -> None:
    """Of the trial's own layers: all but the first are ranked; standard training asks for nothing."""
    plain = spec(method__criterion="bn-gamma", model__batch_norm=False)
    with pytest.raises(SpecError, match="conv2, conv3 have none"):
        trial_networks(plain)
    trial_networks(spec(method__criterion="bn-gamma", model__batch_norm=False, method__cycles=0))
    trial_networks(spec(method__criterion="bn-gamma"))


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("toy", ["dense", "mobile", "depthwise-bias", "gate", "convolved-gate", "two-stems"])
def test_layers_of_any_graph_have_scores(name: str, toy: str) -> None:
    """Dense, depthwise, gated and added layers: finite, one per filter, not all the same (but for apoz, which
    finds no zeros where there is no ReLU)."""
    make, _, _ = TOYS[toy]
    net = network(make())
    found = scored(name, detached(net), context(net))
    assert {layer: len(scores) for layer, scores in found.items()} == dict(net.filters.layers)
    assert all(scores.isfinite().all() for scores in found.values())
    assert name == "apoz" or torch.cat(list(found.values())).unique().numel() > 1
