"""The residual network for CIFAR of He et al. (2015, arXiv 1512.03385, section 4.2).

A 3x3 convolution, three stages of n blocks of two 3x3 convolutions with widths w, 2w, 4w (w = 16 as
published), global average pooling and a linear layer: N = 6n + 2 layers. Shortcuts are parameter-free
(option A): where a stage begins, every second pixel, with zeros for the channels that are new.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError, SpecError
from reprtune.spec.task import ModelSpec
from reprtune.training.models.layers import global_average, he_normal

PUBLISHED_WIDTH = 16
MIN_PIXELS = 4  # two stages halve the map: 1 px is left


class Block(nn.Module):
    """relu(x + bn2(conv2(relu(bn1(conv1(x)))))), x by option A where the shape changes."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.n_new = width - in_channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.n_new:
            # Windows of one pixel: x[:, :, ::stride, ::stride], whose gradient would leave the fast layout.
            x = F.pad(F.avg_pool2d(x, 1, self.stride), (0, 0, 0, 0, 0, self.n_new))
        return F.relu(y + x)


class ResNet(nn.Module):
    """Layers conv1, bn1, stage1.0 .. stage3.(n-1) and fc."""

    def __init__(self, n_blocks: int, width: int, in_channels: int, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stage1 = _stage(n_blocks, width, width, stride=1)
        self.stage2 = _stage(n_blocks, width, 2 * width, stride=2)
        self.stage3 = _stage(n_blocks, 2 * width, 4 * width, stride=2)
        self.fc = nn.Linear(4 * width, n_classes)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(global_average(x))


def _stage(n_blocks: int, in_channels: int, width: int, stride: int) -> nn.Sequential:
    first = Block(in_channels, width, stride)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(n_blocks - 1)))


def build(
    spec: ModelSpec, argument: str, in_channels: int, input_size: tuple[int, int], n_classes: int
) -> ResNet:
    """The ResNet of `argument` layers for images of `in_channels` x `input_size`.

    Raises:
        SpecError: the number of layers is not 6n + 2 with n at least 1.
        ModelError: the images are too small for two halvings.
    """
    number = int(argument)
    n_blocks, rest = divmod(number - 2, 6)
    if rest or n_blocks < 1:
        nearest = 6 * max(1, round((number - 2) / 6)) + 2
        raise SpecError(
            f"model.name must be resnet-N with N = 6n + 2 layers (8, 14, 20, ...), but got {spec.name!r}.",
            f"The nearest is resnet-{nearest}.",
        )
    if min(input_size) < MIN_PIXELS:
        raise ModelError(
            f"{spec.name} needs images of at least {MIN_PIXELS}x{MIN_PIXELS} px, "
            f"but got {input_size[0]}x{input_size[1]}."
        )
    return ResNet(n_blocks, spec.width or PUBLISHED_WIDTH, in_channels, n_classes)
