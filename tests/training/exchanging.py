"""Networks that exchange, without a trial around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reprtune.spec.parts.members import Exchange
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.exchanges import ExchangeContext
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.preceding import entries, order
from tests.training.dropping import EXAMPLE
from tests.training.small_net import SmallNet
from tests.training.toy_networks import conv

Entries = dict[str, Tensor]


class EveryNorm(nn.Module):
    """A BatchNorm right after every convolution, one of them depthwise; two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 6), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = conv(6, 6, groups=6, bias=False), nn.BatchNorm2d(6)
        self.hidden, self.fc = nn.Linear(6, 4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(torch.relu(self.hidden(x.mean((2, 3)))))


def networks(n: int, kind: type[nn.Module] = SmallNet) -> list[nn.Module]:
    """Of other weights, statistics, scales and counts; float32."""
    found = []
    for k in range(n):
        model = kind()
        draw = torch.Generator().manual_seed(k)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(torch.randn(tensor.shape, generator=draw) * (1 + k / 10))
                    tensor.abs_() if "var" in name else None
                else:
                    tensor.fill_(10 * k)
        found.append(model)
    return found


def members_of(models: list[nn.Module]) -> list[Entries]:
    return [entries(model) for model in models]


def copies(members: list[Entries]) -> list[Entries]:
    return [{name: tensor.clone() for name, tensor in member.items()} for member in members]


def context_of(model: nn.Module, number: int = 0, seed: int = 7) -> ExchangeContext:
    found = order(find_filters(model, EXAMPLE).graph, model)
    return ExchangeContext(seed, number, found.convolutions, found.follows, found.norms)


def apply(rule: Exchange, models: list[nn.Module], number: int = 0) -> list[Entries]:
    """Exchange; the members as they were before."""
    members = members_of(models)
    before = copies(members)
    behaviour(rule)(members, context_of(models[0], number))
    return before


def read(kind: str, **options: Any) -> Exchange:
    found: Exchange = Exchange.read({"kind": kind, **options}, "method.exchange")
    return found


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> set[str]:
    """Entries of which some bit is another one."""
    return {name for name, t in one.items() if t.numpy().tobytes() != other[name].numpy().tobytes()}
