"""Batches of a part that stays on the device as uint8, augmented there.

Notations
    N           images                      C, H, W     channels, height, width
    B           batch size                  PAD         zero padding on each side, in px
    source      row of the stored pictures: image i, or N + i for its mirror image
    dy, dx      upper left corner of the crop in the padded picture, 0..2 PAD each

An augmented image is one of (1 or 2) x 9 x 9 windows of its padded picture, so that drawing it is
an index into a strided view of all windows, which takes no memory of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.training.data.task import Part

PAD = 4


class Batches:
    """Training batches, anew for each epoch.

    Args:
        part: what to draw from.
        batch_size: B; the last, smaller batch of an epoch is left out.
        augment: `crop`, `flip`, `crop+flip` or `none`, as torchvision's RandomCrop(H, padding=4) and
            RandomHorizontalFlip before Normalize.
        mean, std: per channel, in pixel values / 255.

    Raises:
        SpecError: the part has fewer than B images.
    """

    def __init__(
        self, part: Part, *, batch_size: int, augment: str, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        if batch_size > len(part):
            raise SpecError(
                f"training.batch_size must be at most {len(part)}, the size of the train part, "
                f"but got {batch_size}.",
                "Lower it, or train on more images.",
            )
        self.batch_size = batch_size
        self.steps_per_epoch = len(part) // batch_size
        self._crop = "crop" in augment
        self._flip = "flip" in augment
        self._n_images = len(part)
        self._pictures = self._windows(part.x)
        self._labels = part.y.repeat(2) if self._flip else part.y
        self._normalise = Normalise(mean, std, _size(part), part.x.device)
        self._epoch = torch.empty(0, dtype=torch.int64)

    def start_epoch(self, generator: torch.Generator) -> None:
        """Draw the whole epoch from a CPU generator: the order, then flips, dy and dx where needed."""
        n = self._n_images
        source = torch.randperm(n, generator=generator)
        if self._flip:
            source += n * torch.randint(2, (n,), generator=generator)
        rows = [source]
        if self._crop:
            rows += [torch.randint(2 * PAD + 1, (n,), generator=generator) for _ in "yx"]
        used = torch.stack(rows)[:, : self.steps_per_epoch * self.batch_size]
        self._epoch = used.to(self._labels.device)

    def index(self, step_in_epoch: int) -> Tensor:
        """What batch `step_in_epoch` consists of: source, and dy, dx with crops; int64 (1 or 3, B)."""
        start = step_in_epoch * self.batch_size
        return self._epoch[:, start : start + self.batch_size]

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The batch of an index: x float32 (B, C, H, W) channels-last, y int64 (B,)."""
        if self._crop:
            source, dy, dx = index.unbind()
            x = self._pictures[source, dy, dx]
        else:
            source = index[0]
            x = self._pictures.index_select(0, source)
        return self._normalise(x), self._labels.index_select(0, source)

    def batch(self, step_in_epoch: int) -> tuple[Tensor, Tensor]:
        """Batch 0..steps_per_epoch - 1 of the epoch begun last, whatever was fetched before."""
        return self.take(self.index(step_in_epoch))

    def _windows(self, x: Tensor) -> Tensor:
        """The stored pictures, channels last: (N or 2N, H, W, C), or with crops (N or 2N, 9, 9, H, W, C)."""
        height, width = x.shape[2:]
        pictures = x.permute(0, 2, 3, 1)
        if self._flip:
            pictures = torch.cat([pictures, pictures.flip(2)])
        if not self._crop:
            return pictures.contiguous()
        padded = F.pad(pictures, (0, 0, PAD, PAD, PAD, PAD)).contiguous()
        return padded.unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3)


class Normalise:
    """uint8 (B, H, W, C) -> float32 (B, C, H, W) channels-last, (x / 255 - mean) / std per channel.

    In one pass over each image as one row of H W C numbers: ten times faster on a CPU than spreading C
    numbers over the innermost dimension.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        size: tuple[int, int],
        device: torch.device,
    ) -> None:
        mean_, std_ = torch.tensor([mean, std], dtype=torch.float64)
        n_pixels = size[0] * size[1]
        self._scale = (1 / (255 * std_)).float().repeat(n_pixels).to(device)
        self._shift = (-mean_ / std_).float().repeat(n_pixels).to(device)

    def __call__(self, x: Tensor) -> Tensor:
        rows = torch.addcmul(self._shift, x.reshape(len(x), -1), self._scale)
        return rows.view(x.shape).permute(0, 3, 1, 2)


def evaluation_batches(
    part: Part, mean: Sequence[float], std: Sequence[float], size: int = 1000
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, as (x, y) of at most `size`: float32 channels-last, int64."""
    normalise = Normalise(mean, std, _size(part), part.x.device)
    for start in range(0, len(part), size):
        x = part.x[start : start + size].permute(0, 2, 3, 1)
        yield normalise(x), part.y[start : start + size]


def _size(part: Part) -> tuple[int, int]:
    return part.x.shape[2], part.x.shape[3]
