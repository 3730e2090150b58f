"""The images of a part as its augmentation takes them, on the device once for all who draw batches from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reprtune.training.data.augment import Augment, Normalise, crops, inner, padded
from reprtune.training.data.task import Part

PIECE = 1000  # images that are written at once


class Pictures:
    """Pictures of a resident part are stored as uint8, those of a streamed one are handed in.

    Args:
        part: what is augmented.
        augment: as `task.augment`: torchvision's RandomCrop(H, padding=4) and RandomHorizontalFlip before
            Normalize, cutout after it.
        mean, std: per channel, in pixel values / 255.
        cutout: side of the square that `cutout` cuts out, in px.

    Attributes:
        stored: (N or 2N, H, W, C), with crops (N or 2N, H + 8, W + 8, C); None when the part is streamed.

    Raises:
        SpecError: the square is as large as an image.
    """

    def __init__(
        self, part: Part, *, augment: str, mean: Sequence[float], std: Sequence[float], cutout: int = 8
    ) -> None:
        self.part, self.device = part, part.y.device
        self.size: tuple[int, int] = (part.x.shape[2], part.x.shape[3])
        self._augment = Augment.of(augment, cutout, self.size)
        self._labels = part.y.repeat(2) if self._augment.flip else part.y
        self._normalise = Normalise(mean, std, self.size, self.device)
        self.stored = self._store(part.x) if isinstance(part.x, Tensor) else None
        self._crops = crops(self.stored, self.size) if self.stored is not None else None

    def __len__(self) -> int:
        return len(self.part)

    def draw(self, generator: torch.Generator) -> Tensor:
        """What all images are taken with in an epoch, in a new order: source, then dy, dx with crops, then
        cy, cx with cutout; int64 (1, 3 or 5, N), on the CPU."""
        return self._augment.draw(len(self), self.size, generator)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The batch of an index of stored pictures: x float32 (B, C, H, W) channels-last, y int64 (B,)."""
        assert self.stored is not None
        assert self._crops is not None
        if self._augment.crop:
            x = self._crops[(index[0], *self._augment.corners(index))]
        else:
            x = self.stored.index_select(0, index[0])
        return self._finish(x, index)

    def augmented(self, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The same batch, of images that were read: x uint8 (B, H, W, C)."""
        if self._augment.flip:
            mirrored = index[0] >= len(self)
            x = torch.where(mirrored[:, None, None, None], x.flip(2), x)
        if self._augment.crop:
            first = torch.arange(len(x), device=self.device)
            x = crops(padded(x), self.size)[(first, *self._augment.corners(index))]
        return self._finish(x, index)

    def _finish(self, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        x = self._augment.cut_out(self._normalise(x), index)
        return x, self._labels.index_select(0, index[0])

    def _store(self, x: Tensor) -> Tensor:
        """Piece by piece: nothing of the size of the part is made beside what is kept."""
        if not (self._augment.crop or self._augment.flip):
            return x.permute(0, 2, 3, 1).contiguous()
        stored = x.new_zeros(self._augment.stored_shape(len(x), self.size, x.shape[1]))
        inside = inner(stored, self.size)
        for start in range(0, len(x), PIECE):
            piece = x[start : start + PIECE].permute(0, 2, 3, 1)
            inside[start : start + len(piece)] = piece
            if self._augment.flip:
                inside[len(x) + start : len(x) + start + len(piece)] = piece.flip(2)
        return stored
