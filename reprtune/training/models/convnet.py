"""C^N(width), the plain network of the RePr paper (arXiv 1811.07275, section 5).

N convolutions 3x3 of one width with padding 1, each followed by ReLU, then global average pooling and
a linear layer, or (`head=flatten`) a linear layer on every pixel of the last map. BatchNorm takes the place of the convolution's bias. With pooling, 2x2 maximum pooling
follows each convolution but the last, as long as it leaves at least 2 px a side.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError, SpecError
from reprtune.spec.task import ModelSpec
from reprtune.training.models.layers import global_average, he_normal

PUBLISHED_WIDTH = 32
KERNEL = 3


class ConvNet(nn.Module):
    """Layers conv1, bn1, conv2, ... and fc; `pooled` are the numbers of the layers that pool, `flat` the pixels of
    the last map that fc reads one by one (None = their mean)."""

    def __init__(
        self,
        n_layers: int,
        width: int,
        in_channels: int,
        n_classes: int,
        batch_norm: bool,
        pooled: set[int],
        flat: int | None = None,
    ) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.batch_norm = batch_norm
        self.pooled = pooled
        self.flat = flat
        for i in range(1, n_layers + 1):
            c = in_channels if i == 1 else width
            self.add_module(f"conv{i}", nn.Conv2d(c, width, KERNEL, padding=1, bias=not batch_norm))
            if batch_norm:
                self.add_module(f"bn{i}", nn.BatchNorm2d(width))
        self.fc = nn.Linear(width * (flat or 1), n_classes)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, self.n_layers + 1):
            x = self.get_submodule(f"conv{i}")(x)
            if self.batch_norm:
                x = self.get_submodule(f"bn{i}")(x)
            x = F.relu(x)
            if i in self.pooled:
                x = F.max_pool2d(x, 2)
        return self.fc(global_average(x) if self.flat is None else x.flatten(1))


def build(
    spec: ModelSpec, argument: str, in_channels: int, input_size: tuple[int, int], n_classes: int
) -> ConvNet:
    """C^N of `spec`, N = `argument`, for images of `in_channels` x `input_size`.

    Raises:
        SpecError: the number of layers is 0.
        ModelError: the images are smaller than one kernel.
    """
    number = int(argument)
    if number < 1:
        raise SpecError(f"model.name must be convnet-N with at least 1 layer, but got {spec.name!r}.")
    if min(input_size) < KERNEL:
        raise ModelError(
            f"{spec.name} needs images of at least {KERNEL}x{KERNEL} px, "
            f"but got {input_size[0]}x{input_size[1]}."
        )
    pooled = pooled_layers(number, min(input_size)) if spec.pool else set()
    height, width = (pixels >> len(pooled) for pixels in input_size)  # each pooling halves it, rounded down
    return ConvNet(
        number,
        spec.width or PUBLISHED_WIDTH,
        in_channels,
        n_classes,
        spec.batch_norm,
        pooled,
        height * width if spec.head == "flatten" else None,
    )


def pooled_layers(n_layers: int, pixels: int) -> set[int]:
    """The layers after which a map of `pixels` a side is halved."""
    pooled = set()
    for i in range(1, n_layers):
        if pixels // 2 >= 2:
            pooled.add(i)
            pixels //= 2
    return pooled
