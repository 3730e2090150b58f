"""Who is taken by the selections besides share: the same filters, weak ones, later layers, all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reprtune.errors import SpecError
from reprtune.spec.parts.selections import Dormant, Everything, Fixed, Later, Selection
from reprtune.training.models.resnet import ResNet
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.selections.later import later
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.dropping import EXAMPLE
from tests.training.small_net import LAYERS, SmallNet
from tests.training.toy_networks import Gate, Mobile


def context(model: nn.Module | None = None, seed: int = 0, cycle: int = 0, member: int = 0) -> ScoreContext:
    model = model or SmallNet()
    network = SubNetwork(model, find_filters(model, EXAMPLE), {})
    return ScoreContext(seed, cycle, network, list, member)


def taken(selection: Selection, scores: dict[str, list[float]] | None = None, **of: Any) -> Any:
    tensors = None if scores is None else {n: torch.tensor(v, dtype=torch.float64) for n, v in scores.items()}
    return behaviour(selection)(context(**of), tensors)


def by_layer(chosen: Tensor) -> dict[str, list[int]]:
    """Layer -> numbers of its filters that are taken."""
    parts = torch.split(chosen, list(LAYERS.values()))
    return {name: part.nonzero().flatten().tolist() for name, part in zip(LAYERS, parts, strict=True)}


# -- fixed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "numbers"),
    [(0.0, (0, 0, 0)), (0.3, (2, 1, 1)), (0.5, (2, 2, 2)), (0.9, (4, 3, 3)), (1.0, (4, 3, 3))],
)
def test_fixed_takes_a_share_of_each_layer(share: float, numbers: tuple[int, ...]) -> None:
    """Of 5, 4 and 4 filters, rounded (2.5 to the even 2), but never all of a layer."""
    found = by_layer(taken(Fixed(fixed_share=share)))
    assert tuple(len(part) for part in found.values()) == numbers


def test_fixed_is_the_same_in_every_generation_and_anothers_for_another_member_or_seed() -> None:
    """Drawn from seed, member and layer alone; over 200 seeds each filter is taken equally often: a share of
    0.5 of 4 is 100 times, with a deviation of sqrt(200 / 4) = 7.1."""
    first = taken(Fixed())
    assert all(torch.equal(taken(Fixed(), cycle=c), first) for c in range(4))
    assert not all(torch.equal(taken(Fixed(), member=m), first) for m in range(1, 9))
    counts = sum(taken(Fixed(), seed=s).double() for s in range(200))
    assert isinstance(counts, Tensor)
    assert (counts[5:] - 100).abs().max() < 5 * 7.1


def test_fixed_does_not_look_at_weights() -> None:
    """What is kept is decided before anything is known."""
    assert torch.equal(taken(Fixed(), model=SmallNet()), taken(Fixed(), model=SmallNet()))


# -- dormant ----------------------------------------------------------------------------------------

SCORES = {"conv1": [-1.0, -0.0, -3.0, -0.1, -0.2], "conv2": [-1.0] * 4, "conv3": [0.0] * 4}


@pytest.mark.parametrize("of", ["mean", "max"])
@pytest.mark.parametrize("tau", [0.0, 0.1, 0.15, 0.5, 1.0])
def test_dormant_takes_what_is_small_beside_its_layer(tau: float, of: str) -> None:
    """Against numpy; a layer of equal values gives none but at tau = 1, a dead one all but its first, and none
    is emptied."""
    found = by_layer(taken(Dormant(tau=tau, tau_of=of), SCORES))
    for name, scores in SCORES.items():
        values = -np.array(scores)
        level = values.max() if of == "max" else values.mean()
        expected = [i for i, v in enumerate(values) if v <= tau * level]
        if len(expected) == len(values):
            expected.remove(int(np.argmax(values)))
        assert found[name] == expected
    assert found["conv3"] == [1, 2, 3]


def test_dormant_by_hand() -> None:
    """Values 1, 0, 3, 0.1 and 0.2 have the mean 0.86 and the largest 3: a fifth of them is 0.172 and 0.6."""
    assert by_layer(taken(Dormant(tau=0.2), SCORES))["conv1"] == [1, 3]
    assert by_layer(taken(Dormant(tau=0.2, tau_of="max"), SCORES))["conv1"] == [1, 3, 4]


# -- later ------------------------------------------------------------------------------------------


def names(model: nn.Module, *prefixes: str) -> set[str]:
    return {n for n in model.state_dict() if n.startswith(tuple(f"{p}." for p in prefixes))}


@pytest.mark.parametrize(
    ("options", "prefixes"),
    [
        ({"keep_layers": 0.5}, ("conv3", "bn3", "fc")),  # 2 of the 4 layers stay
        ({"keep_layers": 0.25}, ("conv2", "conv3", "bn3", "fc")),
        ({"keep_layers": 0.0}, ("conv1", "bn1", "conv2", "conv3", "bn3", "fc")),
        ({"keep_layers": 0.8}, ("fc",)),  # 3.2: 3
        ({"keep_layers": 1.0}, ()),
        ({"renew_from": ("fc",)}, ("fc",)),
        ({"renew_from": ("conv[23]", "fc"), "keep_layers": 1.0}, ("conv2", "conv3", "bn3", "fc")),
    ],
)
def test_later_is_all_that_comes_after(options: dict[str, Any], prefixes: tuple[str, ...]) -> None:
    """By hand: the layers of SmallNet are conv1, conv2, conv3 and fc; with a layer goes the BatchNorm after it."""
    assert taken(Later(**options)) == names(SmallNet(), *prefixes)


def test_later_follows_the_calls_and_not_the_order_of_making() -> None:
    """Mobile calls stem, expand, depth, project, head, fc; Gate squeezes and excites between its convolutions; a
    network that makes its last layer first renews that one."""
    model = Mobile()
    assert taken(Later(renew_from=("depth.*",)), model=model) == names(
        model, "depth", "project", "head", "fc"
    )
    gate = Gate()
    assert taken(Later(renew_from=("excite",)), model=gate) == names(gate, "excite", "conv2", "fc")

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.scale = nn.Linear(4, 3), nn.Parameter(torch.ones(4, 1, 1))
            self.conv, self.first = nn.Conv2d(4, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(torch.relu(self.first(x)))
            return self.fc((x * self.scale).mean((2, 3)))

    turned = Backwards()
    assert taken(Later(renew_from=("fc",)), model=turned) == names(turned, "fc")
    assert taken(Later(renew_from=("conv",)), model=turned) == {"scale", *names(turned, "conv", "fc")}


def test_later_of_a_residual_network() -> None:
    """By its last stage, as the paper's layer4 of ResNet-18; counted, 3 of its 8 layers are 0.375."""
    model = ResNet(1, 4, 3, 10)
    expected = names(model, "stage3", "fc")
    assert taken(Later(renew_from=("stage3.*",)), model=model) == expected
    assert taken(Later(keep_layers=5 / 8), model=model) == expected


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"renew_from": ("layer9.*",)}, "method.renew_from must match a layer, but 'layer9.*' matches none.",
         "The layers are conv1, conv2, conv3, fc."),
        ({"renew_from": ("bn1",)}, "method.renew_from must match a layer, but 'bn1' matches none.",
         "The layers are conv1, conv2, conv3, fc."),
        ({"keep_layers": 0.9}, "method.keep_layers = 0.9 renews none of 4 layers.",
         "Lower it, or name the first layer to renew in method.renew_from."),
    ],
)  # fmt: skip
def test_later_refuses_to_renew_nothing(options: dict[str, Any], message: str, hint: str) -> None:
    """A pattern without a layer, and a share that leaves none although it is below 1."""
    selection = Later(**options)
    graph = context().network.filters.graph
    with pytest.raises(SpecError) as caught:
        later(graph, selection.keep_layers, selection.renew_from)
    assert (caught.value.message, caught.value.hint) == (message, hint)


# -- everything -------------------------------------------------------------------------------------

MODELS: list[Callable[[], nn.Module]] = [SmallNet, Mobile, Gate]


@pytest.mark.parametrize("build", MODELS)
def test_everything_is_every_parameter_and_buffer(build: Callable[[], nn.Module]) -> None:
    """By the names of the state."""
    model = build()
    assert taken(Everything(), model=model) == {*model.state_dict()}
