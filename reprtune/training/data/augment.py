"""What is drawn for the images of an epoch, and how it is applied to a batch on its device.

Notations
    N           images                      C, H, W     channels, height, width
    B           batch size                  PAD         zero padding on each side, in px
    source      row of the stored pictures: image i, or N + i for its mirror image
    dy, dx      upper left corner of the crop in the padded picture, 0..2 PAD each
    cy, cx      centre of the square that is cut out, 0..H-1 and 0..W-1 (arXiv 1708.04552)

An augmented image is one of (1 or 2) x 9 x 9 windows of its padded picture, so that drawing it is
an index into a strided view of all windows, which takes no memory of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.errors import SpecError

PAD = 4


@dataclass(frozen=True)
class Augment:
    """What `task.augment` and `task.cutout` ask for.

    Attributes:
        cutout: side of the square in px; 0 = none.
    """

    crop: bool
    flip: bool
    cutout: int

    @classmethod
    def of(cls, text: str, cutout: int, size: tuple[int, int]) -> Augment:
        """Of images of `size` = H, W.

        Raises:
            SpecError: the square is as large as the image.
        """
        words = text.split("+")
        if "cutout" in words and cutout >= min(size):
            raise SpecError(
                f"task.cutout must be below the side of the images, {min(size)} px, but got {cutout}.",
                f"Set task.cutout to {max(1, min(size) // 2)}, or leave cutout out of task.augment.",
            )
        return cls("crop" in words, "flip" in words, cutout if "cutout" in words else 0)

    def stored_shape(self, n: int, size: tuple[int, int], channels: int) -> tuple[int, int, int, int]:
        """The shape of the stored pictures of n images: mirror images after them, and with crops their black border."""
        border = 2 * PAD if self.crop else 0
        return (1 + self.flip) * n, size[0] + border, size[1] + border, channels

    def draw(self, n: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Rows source, and where needed dy, dx, and where needed cy, cx: int64 (1..5, N)."""
        source = torch.randperm(n, generator=generator)
        if self.flip:
            source += n * torch.randint(2, (n,), generator=generator)
        bounds = [2 * PAD + 1] * 2 if self.crop else []
        bounds += size if self.cutout else ()
        return torch.stack([source, *(torch.randint(b, (n,), generator=generator) for b in bounds)])

    def corners(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """dy, dx of a batch."""
        return index[1], index[2]

    def cut_out(self, x: Tensor, index: Tensor) -> Tensor:
        """Set the squares of normalised images (B, C, H, W) to 0, the mean, in place.

        A square covers the rows cy - cutout // 2 + 0..cutout-1 that the image has, and columns alike.
        """
        if not self.cutout:
            return x
        inside = [self._covered(centre, n) for centre, n in zip(index[-2:], x.shape[2:], strict=True)]
        return x.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)

    def _covered(self, centre: Tensor, n: int) -> Tensor:
        """Which of n rows the squares cover (B, n)."""
        offset = torch.arange(n, device=centre.device) - (centre[:, None] - self.cutout // 2)
        return (offset >= 0) & (offset < self.cutout)


def padded(pictures: Tensor) -> Tensor:
    """(N, H, W, C) with a black border: (N, H + 2 PAD, W + 2 PAD, C)."""
    return F.pad(pictures, (0, 0, PAD, PAD, PAD, PAD)).contiguous()


def inner(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures of `size` = H, W without their border, as a view."""
    (height, width), pad = size, (pictures.shape[1] - size[0]) // 2
    return pictures[:, pad : pad + height, pad : pad + width]


def crops(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Every window of `size` = H, W in pictures (N, H', W', C), as a view: (N, H' - H + 1, W' - W + 1, H, W, C)."""
    return pictures.unfold(1, size[0], 1).unfold(2, size[1], 1).permute(0, 1, 2, 4, 5, 3)


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
