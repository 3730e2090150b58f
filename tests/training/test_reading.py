"""Activations are read from the network as it is now, wherever it was moved since its graph was found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.training.parts.criteria.reading import Reader
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.dropping import EXAMPLE, images
from tests.training.toy_networks import conv


class Constants(nn.Module):
    """Reads a buffer of its own, one of a part, a tensor that is no buffer, and one that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Module()
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1))
        self.part.register_buffer("shift", torch.tensor([[[[0.5]]]]))
        self.slope = torch.tensor([[[[0.25]]]])
        self.conv, self.fc = conv(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale + self.part.shift
        x = self.conv(x * self.slope - torch.full((1, 3, 1, 1), 0.125, device=self.scale.device))
        return self.fc(F.relu(x).mean((2, 3)))


def network() -> SubNetwork:
    torch.manual_seed(0)
    model = Constants().eval()
    return SubNetwork(model, find_filters(model, EXAMPLE), {})


def read(of: SubNetwork, x: Tensor) -> dict[str, Tensor]:
    """Layer -> its activation."""
    seen: dict[str, Tensor] = {}

    def see(name: str, a: Tensor) -> Tensor:
        seen[name] = a
        return a

    logits = Reader(of, ["conv"], see).run(x)
    assert isinstance(logits, Tensor)
    return {**seen, "logits": logits}


def by_hand(model: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    x = (x * scale + 0.5) * 0.25 - 0.125
    return F.relu(F.conv2d(x, model.conv.weight, model.conv.bias, padding=1))  # type: ignore[union-attr,arg-type]


def test_a_buffer_that_was_replaced_is_the_one_that_is_read() -> None:
    """As `.to(device)` replaces buffers by others; the old ones are not looked at any more."""
    one, x = network(), images()
    old = one.model.get_buffer("scale")
    torch.testing.assert_close(read(one, x)["conv"], by_hand(one.model, x, old))
    new = torch.tensor([-1.0, 0.5, 4.0]).reshape(1, 3, 1, 1)
    one.model._buffers["scale"] = new
    old.fill_(torch.nan)
    found = read(one, x)
    torch.testing.assert_close(found["conv"], by_hand(one.model, x, new))
    torch.testing.assert_close(found["logits"], one.model(x))


@pytest.mark.parametrize("move", [lambda model: model.to("meta"), lambda model: model.double()])
def test_a_network_that_was_moved_is_read_where_it_is(move: Callable[[nn.Module], nn.Module]) -> None:
    """On another device, which reads no number of the first, and in another type."""
    one = network()
    move(one.model)
    weight = one.parameters["conv.weight"] = one.model.get_parameter("conv.weight")
    seen = read(one, images().to(weight))
    assert {(a.device, a.dtype) for a in seen.values()} == {(weight.device, weight.dtype)}
    assert seen["conv"].shape == (4, 4, 8, 8)
