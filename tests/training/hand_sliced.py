"""Networks without some filters, built by hand: plain modules of the smaller sizes, plain torch.optim.SGD.

An index says which part of a tensor of the whole network the smaller one has: a list of rows, and of
columns for kernels, or None for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Index = tuple[Tensor | None, Tensor | None]
PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")


class SmallConvNet(nn.Module):
    """`widths` filters per layer; pooling after the layers `pooled`; fc reads `pixels` of each map, 0 = its mean."""

    def __init__(
        self, channels: int, widths: list[int], classes: int, bn: bool, pooled: set[int], pixels: int = 0
    ) -> None:
        super().__init__()
        self.n, self.bn, self.pooled, self.pixels = len(widths), bn, pooled, pixels
        for i, (c, j) in enumerate(zip([channels, *widths[:-1]], widths, strict=True), 1):
            setattr(self, f"conv{i}", nn.Conv2d(c, j, 3, padding=1, bias=not bn))
            if bn:
                setattr(self, f"bn{i}", nn.BatchNorm2d(j))
        self.fc = nn.Linear(widths[-1] * (pixels or 1), classes)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, self.n + 1):
            x = getattr(self, f"conv{i}")(x)
            x = getattr(self, f"bn{i}")(x) if self.bn else x
            x = x.relu()
            x = F.max_pool2d(x, 2) if i in self.pooled else x
        return self.fc(x.reshape(len(x), -1) if self.pixels else x.mean((2, 3)))


def convnet_indices(kept: list[Tensor], bn: bool, pixels: int = 0) -> dict[str, Index]:
    """What the smaller network has when `kept` are the filters of each layer, and fc reads `pixels` of each map
    (0 = its mean): columns c pixels to (c + 1) pixels - 1 of the filter c."""
    indices: dict[str, Index] = {}
    before = None
    for i, rows in enumerate(kept, 1):
        indices[f"conv{i}.weight"] = (rows, before)
        for name in [f"bn{i}.{key}" for key in PER_CHANNEL] if bn else [f"conv{i}.bias"]:
            indices[name] = (rows, None)
        before = rows
    if pixels:
        before = torch.tensor([c * pixels + p for c in kept[-1].tolist() for p in range(pixels)])
    return indices | {"fc.weight": (None, before), "fc.bias": (None, None)}


class SmallBlock(nn.Module):
    """A residual branch of kept filters only, put into its channels of the stream.

    `source` are the channels of the stream that the block's input holds, None = all: only the block after
    the stem, whose dropped filters are absent, has fewer.
    """

    def __init__(self, width_in: int, width: int, stride: int, k1: Tensor, k2: Tensor, source: Tensor | None):
        super().__init__()
        n_in = width_in if source is None else len(source)
        self.conv1 = nn.Conv2d(n_in, len(k1), 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(len(k1))
        self.conv2 = nn.Conv2d(len(k1), len(k2), 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(len(k2))
        self.width, self.stride, self.into, self.source = width, stride, k2, source

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        channels = torch.arange(x.shape[1]) if self.source is None else self.source
        n, _, h, w = branch.shape
        stream = x.new_zeros(n, self.width, h, w)
        stream = stream.index_add(1, channels, x[:, :, :: self.stride, :: self.stride])
        return stream.index_add(1, self.into, branch).relu()


class SmallResNet(nn.Module):
    def __init__(self, channels: int, width: int, kept: Mapping[str, Tensor], n_blocks: int, classes: int):
        super().__init__()
        stem = kept["conv1"]
        self.conv1 = nn.Conv2d(channels, len(stem), 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(len(stem))
        width_in = width
        for stage in (1, 2, 3):
            blocks = []
            for b in range(n_blocks):
                name, out = f"stage{stage}.{b}", width * 2 ** (stage - 1)
                first = stage > 1 and b == 0
                source = stem if (stage, b) == (1, 0) else None
                blocks.append(
                    SmallBlock(
                        width_in, out, 2 if first else 1, kept[f"{name}.conv1"], kept[f"{name}.conv2"], source
                    )
                )
                width_in = out
            setattr(self, f"stage{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(width_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        for stage in (self.stage1, self.stage2, self.stage3):
            x = stage(x)
        return self.fc(x.mean((2, 3)))


def resnet_indices(kept: Mapping[str, Tensor], n_blocks: int) -> dict[str, Index]:
    """As `convnet_indices`: the stream keeps its width, branches do not."""
    indices: dict[str, Index] = {"conv1.weight": (kept["conv1"], None)}
    indices |= {f"bn1.{key}": (kept["conv1"], None) for key in PER_CHANNEL}
    for stage in (1, 2, 3):
        for b in range(n_blocks):
            name = f"stage{stage}.{b}"
            k1, k2 = kept[f"{name}.conv1"], kept[f"{name}.conv2"]
            source = kept["conv1"] if (stage, b) == (1, 0) else None
            indices |= {f"{name}.conv1.weight": (k1, source), f"{name}.conv2.weight": (k2, k1)}
            indices |= {f"{name}.bn1.{key}": (k1, None) for key in PER_CHANNEL}
            indices |= {f"{name}.bn2.{key}": (k2, None) for key in PER_CHANNEL}
    return indices | {"fc.weight": (None, None), "fc.bias": (None, None)}


def cut(tensor: Tensor, index: Index) -> Tensor:
    """The part that the smaller network has."""
    rows, columns = index
    tensor = tensor if rows is None else tensor[rows]
    return tensor if columns is None else tensor[:, columns]


def outside(tensor: Tensor, index: Index) -> Tensor:
    """Everything else, in a row."""
    inside = torch.zeros(tensor.shape, dtype=torch.bool)
    rows = torch.arange(len(tensor)) if index[0] is None else index[0]
    if index[1] is None:
        inside[rows] = True
    else:
        inside[rows[:, None], index[1]] = True
    return tensor[~inside]


def fill(small: nn.Module, whole: nn.Module, indices: Mapping[str, Index]) -> None:
    """Give the smaller network its part of every parameter and statistic."""
    tensors = dict(whole.state_dict())
    names = {n for n in small.state_dict() if not n.endswith("num_batches_tracked")}
    assert names == set(indices)
    with torch.no_grad():
        for name, tensor in small.state_dict().items():
            tensor.copy_(cut(tensors[name], indices.get(name, (None, None))))


def plain_sgd(
    small: nn.Module, buffers: Mapping[str, Tensor], indices: Mapping[str, Index], **options: float
) -> torch.optim.SGD:
    """torch.optim.SGD, its momentum begun with its part of the given `buffers`."""
    optimizer = torch.optim.SGD(small.parameters(), foreach=False, **options)
    for name, parameter in small.named_parameters():
        optimizer.state[parameter]["momentum_buffer"] = cut(buffers[name], indices[name]).clone()
    return optimizer
