"""Which convolution comes before each entry of a network's state, against orders written down by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reprtune.training.models.resnet import ResNet
from reprtune.training.surgery.preceding import Order, entries, order
from reprtune.training.surgery.tracing import trace
from tests.training.dropping import EXAMPLE
from tests.training.toy_networks import Dense, conv


class Branches(nn.Module):
    """Written down in another order than it is called: two convolutions, then their BatchNorms the other way round;
    one BatchNorm before any of them, one layer and one parameter that the graph does not show where they belong."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.BatchNorm2d(3)
        self.norm_b, self.norm_a = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.unused = nn.Linear(2, 2)
        self.b, self.a = conv(3, 4), conv(3, 4)
        self.after = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(torch.ones(1, 4, 1, 1))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        a, b = self.a(x), self.b(x)
        b, a = self.norm_b(b), self.norm_a(a)
        return self.fc((self.after(a + b) * self.scale).mean((2, 3)))


class Shared(nn.Module):
    """One convolution called twice, and a linear layer whose weight has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.free = conv(3, 4), conv(4, 4), conv(4, 4)
        self.one, self.two = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.free(self.conv(torch.relu(self.conv(self.stem(x)))))
        return self.two(self.one(x.mean((2, 3))))


def of(model: nn.Module) -> Order:
    return order(trace(model, EXAMPLE)[0], model)


def by_module(found: Order) -> dict[str, str]:
    return {name.rpartition(".")[0] or name: layer for name, layer in found.follows.items()}


def test_it_is_the_order_of_calls_and_of_who_reads_whom() -> None:
    """A BatchNorm follows what it reads; a sum follows the later of both; what no convolution comes before has the
    first; what the graph does not show, that of the entry before it in the state."""
    found = of(Branches())
    assert found.convolutions == ("a", "b")
    assert found.norms == {"a": "norm_a", "b": "norm_b"}
    assert by_module(found) == {
        "scale": "b", "before": "a", "norm_b": "b", "norm_a": "a", "unused": "a", "b": "b", "a": "a",
        "after": "b", "fc": "b",
    }  # fmt: skip


def test_a_batchnorm_over_a_concatenation_is_nobodys_own() -> None:
    """It follows the last layer of those that it reads."""
    found = of(Dense())
    assert found.convolutions == ("stem", "conv1", "conv2")
    assert found.norms == {"stem": "bn1"}
    assert by_module(found) == {
        "stem": "stem", "bn1": "stem", "conv1": "conv1", "bn2": "conv1", "conv2": "conv2", "bn3": "conv2",
        "fc": "conv2",
    }  # fmt: skip


def test_a_convolution_that_is_called_twice_and_a_weight_with_two_names() -> None:
    """Each tensor stands once, so that nobody blends it twice."""
    model = Shared()
    found = of(model)
    assert found.convolutions == ("stem", "conv", "free")
    assert by_module(found) == {"stem": "stem", "conv": "conv", "free": "free", "one": "free"}
    assert [*entries(model)] == [*found.follows]


@pytest.mark.parametrize("width", [4, 8])
def test_in_a_residual_network_it_is_the_order_of_the_state(width: int) -> None:
    """As in the released code: the last convolution above it in the state."""
    model = ResNet(3, width, 3, 10)
    found, last = of(model), ""
    for name, tensor in model.state_dict().items():
        last = name.rpartition(".")[0] if tensor.dim() == 4 else last
        assert found.follows[name] == last, name
    assert {*found.norms} == {*found.convolutions}


def test_entries_are_the_networks_own_tensors() -> None:
    """Writing into them is writing into the network."""
    model = Branches()
    with torch.no_grad():
        for tensor in entries(model).values():
            tensor.zero_()
    assert not any(tensor.any() for tensor in model.state_dict().values())
