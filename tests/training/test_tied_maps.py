"""Training with tied feature maps against torch on a network that makes them by hand; and what is kept of ties."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError
from reprtune.training.chain.member import Member
from reprtune.training.parts.drops.tied import tied
from reprtune.training.parts.endings.keep_tied import end
from reprtune.training.surgery import spatial
from reprtune.training.surgery.tied_conv import PLACEMENTS, TiedConv2d
from reprtune.training.surgery.tied_layers import tied_structure
from reprtune.training.surgery.ties import Ties
from tests.training.test_subnetwork import CHANNELS, SIZE, batch, build
from tests.training.test_tied import LR, OPTIMIZERS, STEPS, Setting, setting


def with_maps(optimizer: str = "sgd", name: str = "convnet-3", **options: Any) -> Setting:
    """Warm, nothing tied yet."""
    made = setting(optimizer, name)
    given = {"transforms": "all", "fit_scale": True, "placement": "features", **options}
    made.tied = tied(made.network, **given)
    return made


class ByHand(nn.Module):
    """A layer whose channels are made one after the other."""

    def __init__(self, conv: nn.Conv2d, ties: Ties) -> None:
        super().__init__()
        self.stride, self.padding, self.ties = conv.stride, conv.padding, ties
        kept = {int(j): nn.Parameter(conv.weight.detach()[j : j + 1].clone()) for j in ties.source.unique()}
        self.rows = nn.ParameterDict({str(j): row for j, row in kept.items()})

    def forward(self, x: Tensor) -> Tensor:
        made = []
        for j, source in enumerate(self.ties.source.tolist()):
            maps = F.conv2d(x, self.rows[str(source)], None, self.stride, self.padding)
            change = spatial.transforms("all", (3, 3))[int(self.ties.transform[j])]
            made.append(float(self.ties.scale[j]) * change(maps))
        return torch.cat(made, dim=1)


@pytest.mark.parametrize("name", ["convnet-3", "resnet-8"])
def test_it_trains_as_the_network_of_kept_maps(name: str) -> None:
    """After several steps every number of a kept filter and of BatchNorm is that of torch on the explicit
    network, and nothing of a tied one has moved."""
    ours = with_maps(name=name)
    model, _ = build(name, torch.float64)
    model.load_state_dict(ours.network.model.state_dict())
    before = ours.states()
    ours.tie()
    ties = ours.tied.ties
    momentum: dict[nn.Parameter, Tensor] = {}
    for layer, parameter in list(model.named_parameters()):
        momentum[parameter] = before[f"momentum/{layer}"].clone()
    for layer, one in ties.items():
        parent, _, child = layer.rpartition(".")
        by_hand = ByHand(cast("nn.Conv2d", model.get_submodule(layer)), one)
        setattr(model.get_submodule(parent), child, by_hand)
        for j, row in by_hand.rows.items():
            momentum[row] = before[f"momentum/{layer}.weight"][int(j)][None].clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, **OPTIMIZERS["sgd"])
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = momentum[parameter]
    for number in range(STEPS):
        x, y = batch(number, torch.float64)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    ours.train(range(STEPS))
    after, theirs = ours.states(), model.state_dict()
    for key, tensor in after.items():
        layer = key.removeprefix("momentum/").removesuffix(".weight")
        if layer not in ties:
            expected = (
                theirs[key] if key in theirs else momentum[model.get_parameter(key.removeprefix("momentum/"))]
            )
            torch.testing.assert_close(tensor, expected, rtol=1e-8, atol=1e-10, msg=key)
            continue
        assert torch.equal(tensor[ties[layer].tied], before[key][ties[layer].tied]), key
        for j, row in cast("ByHand", model.get_submodule(layer)).rows.items():
            expected = momentum[row] if key.startswith("momentum") else row.detach()
            torch.testing.assert_close(tensor[int(j)], expected[0], rtol=1e-8, atol=1e-10, msg=key)


def test_maps_go_on_from_a_state() -> None:
    """Another network that takes over all numbers and the ties says and trains the same, to the bit; released,
    it has the layers that it was built with."""
    ours, other = with_maps(), with_maps()
    ours.tie()
    ours.train(range(3))
    other.take_over(ours)
    assert torch.equal(other.logits(), ours.logits())
    for each in (ours, other):
        each.train(range(3, 5))
    assert all(torch.equal(tensor, ours.states()[name]) for name, tensor in other.states().items())
    other.tied.load({})
    assert type(other.network.model.get_submodule("conv2")) is nn.Conv2d


def test_tied_maps_are_not_computed() -> None:
    """The training of a step costs three times the multiply-adds of what is left: the kept filters of each
    layer, which read all channels, and the linear layer."""
    ours = with_maps()
    whole = ours.tied.train_flops()
    ours.tie()
    kept = {name: int((~one.tied).sum()) for name, one in ours.tied.ties.items()}
    reads = {"conv1": CHANNELS, "conv2": 6, "conv3": 6}
    macs = sum(9 * SIZE * SIZE * kept.get(name, 6) * n for name, n in reads.items()) + 6 * 5
    assert ours.tied.train_flops() == 6 * macs < whole


def test_tied_maps_cannot_be_captured() -> None:
    """The step changes at the drop."""
    network = setting().network
    with pytest.raises(ModelError, match="cannot be captured"):
        tied(network, True, transforms="all", fit_scale=False, placement="features")


def as_member(of: Setting) -> Member:
    return cast("Member", SimpleNamespace(dropping=of.tied, model=of.network.model))


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("transforms", ["symmetries+sign", "all"])
@pytest.mark.parametrize("name", ["convnet-3", "convnet-3-bias", "resnet-8"])
def test_what_is_kept_says_the_same(name: str, transforms: str, placement: str) -> None:
    """The network with tied layers has the same logits as the trained one, which is left as it was; rebuilt from
    its form and its numbers it has them to the bit; and it holds fewer parameters, by hand."""
    ours = with_maps(name=name, transforms=transforms, placement=placement)
    ours.tie()
    ours.train(range(2))
    logits = ours.logits()
    model, form = end(as_member(ours))
    assert torch.equal(ours.logits(), logits)
    x = batch(99, torch.float64)[0]
    torch.testing.assert_close(model.eval()(x), logits, rtol=1e-12, atol=1e-12)
    tied_numbers = sum(int(one.tied.sum()) * ours.network.parameters[f"{n}.weight"][0].numel()
                       for n, one in ours.tied.ties.items())  # fmt: skip
    sizes = [sum(p.numel() for p in each.parameters()) for each in (ours.network.model, model)]
    assert sizes[0] - sizes[1] == tied_numbers > 0
    again, _ = build(name, torch.float64)
    again = tied_structure(again, form, torch.zeros(1, CHANNELS, SIZE, SIZE))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x), model(x))
    assert isinstance(again.get_submodule(next(iter(form["layers"]))), TiedConv2d)


def test_nothing_tied_is_nothing_to_keep() -> None:
    """Said, with a way out."""
    with pytest.raises(ModelError, match="nothing to keep"):
        end(as_member(with_maps()))


def test_a_form_that_does_not_fit_is_refused() -> None:
    """Of a network with another number of filters."""
    ours = with_maps(placement="weights")
    ours.tie()
    _, form = end(as_member(ours))
    with pytest.raises(ValueError, match="conv1 is no convolution with 6 filters"):
        tied_structure(build("resnet-8", torch.float64)[0], form, torch.zeros(1, CHANNELS, SIZE, SIZE))


def test_filters_are_made_in_full_under_autocast() -> None:
    """In float32, as those that were trained; only the convolution rounds them to bfloat16."""
    ours = with_maps(transforms="affine", placement="weights")
    ours.tie()
    kept, form = end(as_member(ours))
    kept.float()
    layers = {name: cast("TiedConv2d", kept.get_submodule(name)) for name in form["layers"]}
    assert not all(layer.gathers for layer in layers.values())
    for name, layer in layers.items():
        with torch.autocast("cpu", torch.bfloat16):
            filters = layer.filters()
        torch.testing.assert_close(
            filters, ours.network.parameters[f"{name}.weight"].float(), rtol=1e-5, atol=1e-6
        )
