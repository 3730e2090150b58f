"""The training loop that reproductions of RePr use, written as a competent reader would write it.

A Dataset of PIL images with torchvision's transforms behind a DataLoader, float32 tensors in PyTorch's
default layout and the default number of threads, SGD, the loss read with `.item()` at every step for the
progress line, and the weights of dropped filters set to zero after every step (their BatchNorm, momentum
and the next layer's kernels are left as they are: that is what makes it cheap, and inexact).

The networks are the same as reprtune's: 3x3 convolutions, BatchNorm, ReLU, global average, linear.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import reprtune.training.platform.torchvision_import  # noqa: F401  (lets torchvision load beside any torch)

from torchvision import models, transforms  # isort: skip

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10
PRUNE_RATIO = 0.3


class ImageList(Dataset[tuple[Tensor, int]]):
    """As torchvision's CIFAR10: an array of images, each made a PIL image when it is asked for.

    Args:
        images: uint8, N x H x W x C. labels: whole numbers, N.
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.images, self.labels = images, labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(images.shape[1], padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]

    def __len__(self) -> int:
        return len(self.images)


def convnet(n_layers: int, width: int = 32, n_classes: int = 10) -> nn.Module:
    """C^n(width): convolution, BatchNorm, ReLU, n times, without pooling in between."""
    layers: list[nn.Module] = []
    for i in range(n_layers):
        conv = nn.Conv2d(3 if i == 0 else width, width, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, n_classes))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a parameter-free shortcut (option A of He et al. 2015)."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.extra = planes - in_planes

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.extra:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        return F.relu(out + x)


def resnet(n_layers: int, n_classes: int = 10) -> nn.Module:
    """The CIFAR ResNet with 6n + 2 layers, 16, 32 and 64 filters wide."""
    conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    in_planes = 16
    for planes, first_stride in ((16, 1), (32, 2), (64, 2)):
        for i in range((n_layers - 2) // 6):
            layers.append(BasicBlock(in_planes, planes, first_stride if i == 0 else 1))
            in_planes = planes
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, n_classes))


def build(name: str) -> nn.Module:
    """`convnet-N`, `resnet-N` or `torchvision:NAME`."""
    if name.startswith("torchvision:"):
        network: nn.Module = models.get_model(name.removeprefix("torchvision:"), num_classes=10)
        return network
    kind, _, number = name.partition("-")
    return convnet(int(number)) if kind == "convnet" else resnet(int(number))


def set_precision(precision: str) -> None:
    """Of the process: `tf32` is what torch does when nobody says otherwise, TF32 for convolutions alone."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


class PlainLoop:
    """Args:
    name: of the network. images, labels: as for `ImageList`.
    precision: `bf16` through autocast; else float32, see `set_precision`.
    num_workers: of the DataLoader.
    """

    def __init__(
        self,
        name: str,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        precision: str,
        device: torch.device,
        num_workers: int,
    ) -> None:
        torch.manual_seed(0)
        self.device, self.bf16 = device, precision == "bf16"
        self.loader = DataLoader(
            ImageList(images, labels),
            batch_size=batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=device.type == "cuda",
        )
        self.batches = self._epochs()
        self.model = build(name).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.masks = self._draw_masks()
        self.running_loss = 0.0

    def _epochs(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in itertools.count():
            yield from self.loader

    def _draw_masks(self) -> list[tuple[Tensor, Tensor]]:
        """A random 30 % of the filters of every convolution but the first."""
        convs = [m for m in self.model.modules() if isinstance(m, nn.Conv2d)][1:]
        masks: list[tuple[Tensor, Tensor]] = []
        for conv in convs:
            mask = torch.ones(conv.out_channels, 1, 1, 1, device=self.device)
            mask[torch.randperm(conv.out_channels)[: round(PRUNE_RATIO * conv.out_channels)]] = 0
            masks.append((conv.weight, mask))
        return masks

    def train(self, n_steps: int) -> float:
        """`n_steps` further steps; returns their mean loss."""
        self.model.train()
        total = 0.0
        for x_cpu, y_cpu in itertools.islice(self.batches, n_steps):
            x, y = x_cpu.to(self.device, non_blocking=True), y_cpu.to(self.device, non_blocking=True)
            self.optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = F.cross_entropy(self.model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            with torch.no_grad():
                for weight, mask in self.masks:
                    weight.mul_(mask)
            total += loss.item()
        return total / n_steps
