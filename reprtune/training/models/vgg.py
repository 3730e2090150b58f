"""The VGG for CIFAR (after arXiv 1409.1556): 3x3 convolutions with BatchNorm and one linear layer.

Five stages of 64, 128, 256, 512 and 512 filters, each followed by 2x2 maximum pooling, then global average
pooling and a linear layer in place of the three of the paper, as is usual for small images. BatchNorm takes
the place of the convolutions' biases. Small images are halved less often: no convolution sees less than 2 px
a side, so that maps of 8x8 px are 4 px wide in the second stage and 2 px in the others.
"""

from __future__ import annotations

from torch import Tensor, nn

from reprtune.errors import ModelError, SpecError
from reprtune.spec.task import ModelSpec
from reprtune.training.models.layers import global_average, he_normal

WIDTHS = (64, 128, 256, 512, 512)
N_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}  # of each stage
MIN_PIXELS = 2


class VGG(nn.Module):
    """Layers features.conv1_1, features.bn1_1, ... and fc; `pooled` are the numbers of the stages that pool."""

    def __init__(
        self, n_convolutions: tuple[int, ...], in_channels: int, n_classes: int, pooled: set[int]
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for stage, (n, width) in enumerate(zip(n_convolutions, WIDTHS, strict=True), start=1):
            for i in range(1, n + 1):
                conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
                self.features.add_module(f"conv{stage}_{i}", conv)
                self.features.add_module(f"bn{stage}_{i}", nn.BatchNorm2d(width))
                self.features.add_module(f"relu{stage}_{i}", nn.ReLU(inplace=True))
                in_channels = width
            if stage in pooled:
                self.features.add_module(f"pool{stage}", nn.MaxPool2d(2))
        self.fc = nn.Linear(in_channels, n_classes)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(global_average(self.features(x)))


def build(
    spec: ModelSpec, argument: str, in_channels: int, input_size: tuple[int, int], n_classes: int
) -> VGG:
    """The VGG of `argument` layers for images of `in_channels` x `input_size`.

    Raises:
        SpecError: the number of layers is not 11, 13 or 16.
        ModelError: the images are smaller than 2x2 px.
    """
    if int(argument) not in N_CONVOLUTIONS:
        nearest = min(N_CONVOLUTIONS, key=lambda n: abs(n - int(argument)))
        raise SpecError(
            f"model.name must be vggN-bn with N = 11, 13 or 16 layers, but got {spec.name!r}.",
            f"The nearest is vgg{nearest}-bn.",
        )
    if min(input_size) < MIN_PIXELS:
        raise ModelError(
            f"{spec.name} needs images of at least {MIN_PIXELS}x{MIN_PIXELS} px, "
            f"but got {input_size[0]}x{input_size[1]}."
        )
    return VGG(N_CONVOLUTIONS[int(argument)], in_channels, n_classes, pooled_stages(min(input_size)))


def pooled_stages(pixels: int) -> set[int]:
    """The stages after which a map of `pixels` a side is halved: 2 px are left for every convolution."""
    pooled = set()
    for stage in range(1, len(WIDTHS) + 1):
        if pixels // 2 >= (2 if stage < len(WIDTHS) else 1):
            pooled.add(stage)
            pixels //= 2
    return pooled
