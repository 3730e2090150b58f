"""Small networks with graphs of other shapes than those of the catalog.

`READS` says by hand, for each network, which layers' filters each mixing layer reads, in the order of its
input channels; a layer that reads the network's input or a sum reads nobody's: None.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(c: int, j: int, k: int = 3, **options: int | bool) -> nn.Conv2d:
    return nn.Conv2d(c, j, k, padding=k // 2, **options)  # type: ignore[arg-type]


class Dense(nn.Module):
    """DenseNet-like: every consumer begins with a BatchNorm over what all layers before it made."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 4, bias=False)
        self.bn1, self.conv1 = nn.BatchNorm2d(4), conv(4, 3, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(7), conv(7, 5)
        self.bn3, self.fc = nn.BatchNorm2d(12), nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        features.append(self.conv1(F.relu(self.bn1(features[0]))))
        features.append(self.conv2(torch.relu(self.bn2(torch.cat(features, 1)))))
        x = F.relu(self.bn3(torch.cat(tensors=features, dim=-3)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Mobile(nn.Module):
    """Expansion, depthwise convolution, projection, added to the way past them; all as modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 4, bias=False), nn.BatchNorm2d(4), nn.ReLU6())
        self.expand = nn.Sequential(conv(4, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
        self.depth = nn.Sequential(conv(6, 6, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
        self.project = nn.Sequential(conv(6, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.head = nn.Sequential(conv(4, 5, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(5, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.project(self.depth(self.expand(x)))
        return self.fc(self.head(x))


class DepthwiseBias(nn.Module):
    """A depthwise convolution with a bias and no BatchNorm: its bias must go too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.depth, self.fc = conv(3, 4), conv(4, 4, groups=4), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.silu(self.depth(F.elu(self.conv1(x)))).mean(dim=(-1, -2)))


class Gate(nn.Module):
    """Squeeze and excitation: the gate is made from the channels it scales."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 4), nn.BatchNorm2d(4)
        self.squeeze, self.excite = nn.Linear(4, 2), nn.Linear(2, 4)
        self.conv2, self.fc = conv(4, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        x = F.gelu(self.conv2(x * gate[:, :, None, None]))
        return self.fc(x.permute(0, 2, 3, 1).mean((1, 2)))


class ConvolvedGate(Gate):
    """The same with 1x1 convolutions; the filters of the second one end in a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = conv(4, 2, 1), conv(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        gate = self.excite(self.squeeze(F.avg_pool2d(x, x.shape[2:])).relu()).sigmoid()
        return self.fc(torch.mean(F.leaky_relu(self.conv2(gate.mul(x)), 0.1), [2, 3]))


class Flat(nn.Module):
    """Features of each pixel go to the linear layer: no global pooling."""

    def __init__(self, flatten: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1, self.bn1, self.pool = conv(3, 4, stride=2), nn.BatchNorm2d(4), nn.MaxPool2d(2)
        self.fc, self.flatten = nn.Linear(4 * 2 * 2, 6), flatten

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(self.pool(F.relu(self.bn1(self.conv1(x))))))


class Twice(nn.Module):
    """One layer used for two readings, and one activation module used everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.both, self.conv2, self.fc = conv(3, 4), conv(4, 4), conv(4, 5), nn.Linear(5, 6)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.both(self.act(self.both(self.act(self.conv1(x))))))
        return self.fc(self.act(self.conv2(x)).mean((2, 3)))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = conv(3, 4), conv(4, 4), conv(4, 4)
        self.conv3.weight = self.conv2.weight
        self.conv4, self.fc = conv(4, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.fc(F.relu(self.conv4(F.relu(self.conv3(x)))).mean((2, 3)))


class SharedNorm(nn.Module):
    """One BatchNorm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.bn = conv(3, 4), conv(4, 4), nn.BatchNorm2d(4)
        self.conv3, self.fc = conv(4, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv2(F.relu(self.bn(self.conv1(x))))))
        return self.fc(F.relu(self.conv3(x)).mean((2, 3)))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.grouped, self.conv2 = conv(3, 4), conv(4, 6, groups=2), conv(6, 5)
        self.fc = nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.grouped(F.relu(self.conv1(x))))
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


class Sigmoid(nn.Module):
    """The second layer's filters are 1/2 where they are silent."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.fc = conv(3, 4), conv(4, 4), conv(4, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.conv2(torch.tanh(self.conv1(x))))
        return self.fc(F.relu(self.conv3(x)).mean((2, 3)))


class Tower(nn.Module):
    """No linear layer: the last convolution's channels are the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(3, 4), conv(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(x))).mean((2, 3))


class TwoStems(nn.Module):
    """Both convolutions read the image, one of them after it was scaled; a difference and a weighted sum."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.conv = conv(3, 4), conv(3, 4), conv(4, 5)
        self.branch, self.fc = conv(5, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.left(x)) - F.relu(self.right((x - 0.5) * 4))
        x = F.relu(self.conv(x))
        return self.fc(torch.add(x, self.branch(x), alpha=2).mean((2, 3)))


Reads = dict[str, list[str] | None]
TOYS: dict[str, tuple[Callable[[], nn.Module], Reads, dict[str, str]]] = {
    "dense": (
        Dense,
        {"stem": None, "conv1": ["stem"], "conv2": ["stem", "conv1"], "fc": ["stem", "conv1", "conv2"]},
        {},
    ),
    "mobile": (
        Mobile,
        {
            "stem.0": None, "expand.0": ["stem.0"], "project.0": ["expand.0"], "head.0": None,
            "fc.1": ["head.0"],
        },
        {"depth.0": "is a grouped convolution"},
    ),
    "depthwise-bias": (
        DepthwiseBias, {"conv1": None, "fc": ["conv1"]}, {"depth": "is a grouped convolution"}
    ),
    "gate": (
        Gate,
        {"conv1": None, "squeeze": ["conv1"], "excite": None, "conv2": ["conv1"], "fc": ["conv2"]},
        {},
    ),
    "convolved-gate": (
        ConvolvedGate,
        {"conv1": None, "squeeze": ["conv1"], "excite": ["squeeze"], "conv2": ["conv1"], "fc": ["conv2"]},
        {"excite": "its output passes through sigmoid"},
    ),
    "flatten-function": (lambda: Flat(lambda x: torch.flatten(x, 1)), {"conv1": None, "fc": ["conv1"]}, {}),
    "flatten-method": (lambda: Flat(lambda x: x.flatten(start_dim=1)), {"conv1": None, "fc": ["conv1"]}, {}),
    "flatten-view": (lambda: Flat(lambda x: x.view(x.size(0), -1)), {"conv1": None, "fc": ["conv1"]}, {}),
    "flatten-reshape": (lambda: Flat(lambda x: x.reshape(-1, 16)), {"conv1": None, "fc": ["conv1"]}, {}),
    "flatten-module": (lambda: Flat(nn.Flatten()), {"conv1": None, "fc": ["conv1"]}, {}),
    "twice": (
        Twice,
        {"conv1": None, "both": None, "conv2": None, "fc": ["conv2"]},
        {"conv1": "its output is read by both, which is used more than once", "both": "is used more than once"},
    ),
    "tied": (
        Tied,
        {"conv1": None, "conv2": None, "conv3": None, "conv4": None, "fc": ["conv4"]},
        {
            "conv1": "its output is read by conv2, which shares its weights with another layer",
            "conv2": "shares its weights with another layer",
            "conv3": "shares its weights with another layer",
        },
    ),
    "shared-norm": (
        SharedNorm,
        {"conv1": None, "conv2": None, "conv3": None, "fc": ["conv3"]},
        {
            "conv1": "its output passes through bn (BatchNorm2d), which is used more than once",
            "conv2": "its output passes through bn (BatchNorm2d), which is used more than once",
        },
    ),
    "grouped": (
        Grouped,
        {"conv1": None, "conv2": None, "fc": ["conv2"]},
        {"conv1": "its output passes through grouped (Conv2d)", "grouped": "is a grouped convolution"},
    ),
    "sigmoid": (
        Sigmoid,
        {"conv1": None, "conv2": ["conv1"], "conv3": None, "fc": ["conv3"]},
        {"conv2": "its output passes through sigmoid"},
    ),
    "tower": (Tower, {"conv1": None, "conv2": ["conv1"]}, {"conv2": "its output is the network's output"}),
    "two-stems": (
        TwoStems, {"left": None, "right": None, "conv": None, "branch": ["conv"], "fc": None}, {}
    ),
}  # fmt: skip
