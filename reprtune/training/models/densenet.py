"""The plain DenseNet for CIFAR of Huang et al. (2016, arXiv 1608.06993, section 4.2): no bottleneck, no compression.

A 3x3 convolution of 16 filters, three dense blocks of n layers, global average pooling and a linear layer:
depth 3n + 4. A layer is BatchNorm, ReLU and a 3x3 convolution of k filters (the growth), whose maps are put
beside its input. Between blocks: BatchNorm, ReLU, a 1x1 convolution of as many filters as it reads, 2x2 mean.
Without the paper's dropout, which it uses only on data that are not augmented.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError, SpecError
from reprtune.spec.task import ModelSpec
from reprtune.training.models.layers import global_average, he_normal

FIRST_WIDTH = 16
N_BLOCKS = 3
MIN_PIXELS = 4  # two transitions halve the map: 1 px is left


class DenseLayer(nn.Module):
    """[x, conv(relu(bn(x)))], side by side."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.bn(x)))], 1)


class Transition(nn.Module):
    """conv(relu(bn(x))), halved by 2x2 means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Layers conv1, block1.0 .. block3.(n-1), transition1, transition2, bn and fc."""

    def __init__(self, n_layers: int, growth: int, in_channels: int, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, FIRST_WIDTH, 3, padding=1, bias=False)
        width = FIRST_WIDTH
        for block in range(1, N_BLOCKS + 1):
            layers = [DenseLayer(width + i * growth, growth) for i in range(n_layers)]
            self.add_module(f"block{block}", nn.Sequential(*layers))
            width += n_layers * growth
            if block < N_BLOCKS:
                self.add_module(f"transition{block}", Transition(width))
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, n_classes)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for name in ("block1", "transition1", "block2", "transition2", "block3"):
            x = self.get_submodule(name)(x)
        return self.fc(global_average(F.relu(self.bn(x))))


def build(
    spec: ModelSpec, argument: str, in_channels: int, input_size: tuple[int, int], n_classes: int
) -> DenseNet:
    """The DenseNet of `argument`, "depth-growth", for images of `in_channels` x `input_size`.

    Raises:
        SpecError: the depth is not 3n + 4 with n at least 1, or the growth is 0.
        ModelError: the images are too small for two halvings.
    """
    depth, growth = map(int, argument.split("-"))
    n_layers, rest = divmod(depth - 4, N_BLOCKS)
    if rest or n_layers < 1 or growth < 1:
        nearest = N_BLOCKS * max(1, round((depth - 4) / N_BLOCKS)) + 4
        raise SpecError(
            f"model.name must be densenet-DEPTH-GROWTH with a depth of 3n + 4 layers (7, 10, 13, ..., 40, ...) "
            f"and a growth of at least 1, but got {spec.name!r}.",
            f"The nearest is densenet-{nearest}-{max(1, growth)}.",
        )
    if min(input_size) < MIN_PIXELS:
        raise ModelError(
            f"{spec.name} needs images of at least {MIN_PIXELS}x{MIN_PIXELS} px, "
            f"but got {input_size[0]}x{input_size[1]}."
        )
    return DenseNet(n_layers, growth, in_channels, n_classes)
