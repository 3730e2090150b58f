"""A small network with all that scoring must cope with, and its activations computed by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.dropping import EXAMPLE, shaken
from tests.training.toy_networks import conv

LAYERS = {"conv1": 5, "conv2": 4, "conv3": 4}
N_IMAGES, N_CLASSES = 70, 5


class SmallNet(nn.Module):
    """A 3x3 convolution with BatchNorm, a 1x1 one with bias and none, a residual branch with BatchNorm and no
    ReLU of its own; ReLU and the sum overwrite what they read; dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 5, bias=False), nn.BatchNorm2d(5)
        self.conv2 = conv(5, 4, 1)
        self.conv3, self.bn3 = conv(4, 4, bias=False), nn.BatchNorm2d(4)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.dropout, self.fc = nn.Dropout(0.5), nn.Linear(4, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = F.relu(self.conv2(x), inplace=True)
        y = self.bn3(self.conv3(x))
        y += x
        return self.fc(self.dropout(F.relu(y).mean((2, 3))))


def activations(net: SmallNet, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits in evaluation mode and the activation of each layer, without fx and without overwriting."""

    def norm(bn: nn.BatchNorm2d, z: Tensor) -> Tensor:
        return F.batch_norm(z, bn.running_mean, bn.running_var, bn.weight, bn.bias, training=False)

    one = F.relu(norm(net.bn1, F.conv2d(x, net.conv1.weight, padding=1)))
    two = F.relu(F.conv2d(F.max_pool2d(one, 2), net.conv2.weight, net.conv2.bias))
    three = norm(net.bn3, F.conv2d(two, net.conv3.weight, padding=1))
    logits = F.linear(F.relu(three + two).mean((2, 3)), net.fc.weight, net.fc.bias)
    return logits, {"conv1": one, "conv2": two, "conv3": three}


def network(model: nn.Module | None = None) -> SubNetwork:
    """In training mode, but for one module, as somebody might have left it."""
    model = shaken(model or SmallNet()).train()
    next(m for m in model.modules() if isinstance(m, (nn.BatchNorm2d, nn.Linear))).eval()
    return SubNetwork(model, find_filters(model, EXAMPLE), {})


def images() -> tuple[Tensor, Tensor]:
    x = torch.randn(N_IMAGES, 3, 8, 8, generator=generator(0, "score images"))
    y = torch.randint(N_CLASSES, (N_IMAGES,), generator=generator(0, "score labels"))
    return x.contiguous(memory_format=torch.channels_last), y


def context(of: SubNetwork, batch_size: int = 50) -> ScoreContext:
    x, y = images()
    return ScoreContext(5, 1, of, lambda: zip(x.split(batch_size), y.split(batch_size), strict=True))
