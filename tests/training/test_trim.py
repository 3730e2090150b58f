"""A network without the filters that others of their cluster equal says the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError
from reprtune.training.parts.selections.clusters import even
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.trim import trim, trimmed_structure
from tests.training.clustering import clustered, level
from tests.training.test_coupled_groups import CUT, CUT_TOYS, Padded, toy
from tests.training.test_removal import built, own
from tests.training.toy_networks import conv

NETWORKS = [*CUT, *CUT_TOYS, "padded", "normed-gate"]


def network(name: str) -> tuple[nn.Module, int]:
    """In float64, every number of a channel away from 0 and 1."""
    return built(name)[::2] if name in CUT else toy(name)  # type: ignore[return-value]


def images(size: int) -> Tensor:
    return torch.randn(3, 3, size, size, generator=generator(0, "images"), dtype=torch.float64)


@torch.no_grad()
def gap(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """Largest difference of logits, over the largest logit."""
    one, other = a.eval()(x), b.eval()(x)
    assert one.std() > 1e-3
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_trimming_equal_filters_changes_nothing(name: str) -> None:
    """The logits are the same within rounding, from fewer parameters, under the same names; the network that was is
    as before, and a channel for each cluster is left."""
    model, size = network(name)
    x = images(size)
    clusters = clustered(model, x[:1])
    assert gap(model, trim(model, clusters)[0], x) > 1e-4  # they are not equal yet
    level(model, clusters)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    small, _ = trim(model, clusters)
    assert gap(model, small, x) < 1e-12
    assert {*small.state_dict()} == {*before}
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    for one in clusters:
        for slot in one.group.members:
            others = [
                c for c in clusters if slot.layer in {s.layer for s in c.group.members} and c is not one
            ]
            if not others and slot.offset == 0 and len(before[f"{slot.layer}.weight"]) == len(one.numbers):
                assert len(small.get_parameter(f"{slot.layer}.weight")) == one.n_clusters


@pytest.mark.parametrize("name", NETWORKS)
def test_the_form_builds_the_same_structure(name: str) -> None:
    """From its JSON and a network of other numbers; with the numbers loaded it says the same. Modules note their
    sizes, and gradients reach every parameter that they reached."""
    model, size = network(name)
    x = images(size)
    small, form = trim(model, clustered(model, x[:1]))
    form = json.loads(json.dumps(form))
    assert form["kind"] == "trim"
    fresh = network(name)[0]
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    rebuilt = trimmed_structure(fresh, form)
    assert {n: p.shape for n, p in rebuilt.named_parameters()} == {
        n: p.shape for n, p in small.named_parameters()
    }
    rebuilt.load_state_dict(small.state_dict())
    assert gap(small, rebuilt, x) == 0
    for key, module in rebuilt.named_modules():
        if isinstance(module, nn.Conv2d):
            shape = (module.out_channels, module.in_channels // module.groups)
            assert module.weight.shape[:2] == shape, key
        elif isinstance(module, nn.Linear):
            assert module.weight.shape == (module.out_features, module.in_features)
        elif isinstance(module, nn.BatchNorm2d):
            assert len(module.weight) == module.num_features
    rebuilt.train()
    F.cross_entropy(rebuilt(x), torch.tensor([0, 1, 2])).backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in rebuilt.parameters())


def test_columns_are_summed_by_hand() -> None:
    """Of a flattened picture: pixel by pixel, into the columns of the first channel of the cluster."""
    model, size = toy("flatten-function")
    (one,) = clustered(model, images(size)[:1], lambda _: torch.tensor([0, 1, 0, 2]))
    small, form = trim(model, (one,))
    weight = model.get_parameter("fc.weight").detach().numpy().reshape(6, 4, 4)
    expected = np.stack([weight[:, 0] + weight[:, 2], weight[:, 1], weight[:, 3]], 1).reshape(6, 12)
    np.testing.assert_array_equal(small.get_parameter("fc.weight").detach().numpy(), expected)
    assert torch.equal(small.get_buffer("bn1.running_var"), model.get_buffer("bn1.running_var")[[0, 1, 3]])
    assert form == {
        "kind": "trim", "rows": {"conv1": [0, 1, 3], "bn1": [0, 1, 3]},
        "columns": {"fc": [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15]}, "pads": {},
    }  # fmt: skip


def test_fewer_zeros_are_padded() -> None:
    """Of a stream that begins with 3 new channels, 2 of them in one cluster: 2 are left."""
    torch.manual_seed(0)
    model = Padded().double()
    groups = clustered(
        model, images(8)[:1], lambda group: torch.tensor([0, 0] if group.n_channels == 2 else [0, 1, 1])
    )
    _, form = trim(model, groups)
    assert form["pads"] == {"pad": [2, 0]}
    assert form["rows"] == {"conv1": [0], "conv2": [0, 1, 3]}


class Spare(Padded):
    """With layers and a number that its forward pass does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.spare, self.norm = nn.Sequential(conv(3, 2)), nn.BatchNorm2d(3)
        self.number = nn.Parameter(torch.ones(2))


def test_what_is_not_used_stays() -> None:
    """Where padding changes the network is another module; it has all names of the one before."""
    torch.manual_seed(0)
    model = Spare().double()
    clusters = clustered(model, images(8)[:1])
    level(model, clusters)
    small, form = trim(model, clusters)
    assert {*small.state_dict()} == {*model.state_dict()} and form["pads"]
    assert gap(model, small, images(8)) < 1e-12
    trimmed_structure(Spare().double(), form).load_state_dict(small.state_dict())


def test_a_trimmed_network_is_trimmed_again() -> None:
    """As a training in stages does it: the second form is of the network that the first one made."""
    model, size = network("resnet-20")
    x, forms, small = images(size), [], model
    for _ in range(2):
        clusters = clustered(
            small, x[:1], lambda group: even(group.n_channels, max(1, group.n_channels * 3 // 4))
        )
        level(small, clusters)
        before = small
        small, form = trim(small, clusters)
        forms.append(form)
        assert gap(before, small, x) < 1e-12
    rebuilt = network("resnet-20")[0]
    for form in forms:
        rebuilt = trimmed_structure(rebuilt, form)
    rebuilt.load_state_dict(small.state_dict())
    assert gap(small, rebuilt, x) == 0


def test_a_form_of_another_network_is_refused() -> None:
    """By a layer or a call that is not there."""
    model, size = network("resnet-20")
    _, form = trim(model, clustered(model, images(size)[:1]))
    with pytest.raises(ModelError, match=r"no layer '[a-z0-9.]+' to trim"):
        trimmed_structure(nn.Sequential(conv(3, 2)), form)
    with pytest.raises(ModelError, match=r"no call 'pad_9' of F\.pad"):
        trimmed_structure(model, {"kind": "trim", "rows": {}, "columns": {}, "pads": {"pad_9": [0, 1]}})


@pytest.mark.parametrize(("name", "wide", "narrow"), [("convnet-3", 12, 6), ("resnet-20", 8, 4)])
def test_a_wide_network_becomes_the_narrow_one(name: str, wide: int, narrow: int) -> None:
    """Built twice as wide and trimmed by half it has, tensor by tensor, the shapes of the one built narrow."""
    size = 16
    model = own(name, size, width=wide)
    small, _ = trim(
        model,
        clustered(model, torch.zeros(1, 3, size, size), lambda g: even(g.n_channels, g.n_channels // 2)),
    )
    built_narrow = own(name, size, width=narrow)
    assert {n: t.shape for n, t in small.state_dict().items()} == {
        n: t.shape for n, t in built_narrow.state_dict().items()
    }
    assert sum(p.numel() for p in small.parameters()) == sum(p.numel() for p in built_narrow.parameters())


def test_the_trim_of_clusters_of_one_is_the_network() -> None:
    """Nothing is taken out, and the form is empty."""
    model, size = network("densenet-10-4")
    x = images(size)
    small, form = trim(model, clustered(model, x[:1], lambda group: torch.arange(group.n_channels)))
    assert form == {"kind": "trim", "rows": {}, "columns": {}, "pads": {}} and gap(model, small, x) == 0
