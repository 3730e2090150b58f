"""Batches of a part, augmented on the device.

A resident part stays on the device as uint8; a streamed one is decoded by worker processes that run ahead,
in the order of the epoch. Both draw the same and give the same batches, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.training.data.augment import Normalise
from reprtune.training.data.pictures import Pictures
from reprtune.training.data.streams import Reading, in_batches
from reprtune.training.data.task import Part

EVALUATION_PIXELS = 1000 * 64 * 64  # of a batch, at most: images of 64 px and less come by the thousand


class Batches:
    """Training batches, anew for each epoch. Only what is drawn belongs to them: `pictures` may be shared.

    Args:
        batch_size: B; the last, smaller batch of an epoch is left out.

    Attributes:
        resident: are the images on the device? Only then can a batch be had by `take`.

    Raises:
        SpecError: there are fewer than B images.
    """

    def __init__(self, pictures: Pictures, batch_size: int) -> None:
        if batch_size > len(pictures):
            raise SpecError(
                f"training.batch_size must be at most {len(pictures)}, the size of the train part, "
                f"but got {batch_size}.",
                "Lower it, or train on more images.",
            )
        self.batch_size = batch_size
        self.steps_per_epoch = len(pictures) // batch_size
        self.pictures = pictures
        self.resident = pictures.stored is not None
        self._epoch = torch.empty(0, dtype=torch.int64)
        self._order = torch.empty(0, dtype=torch.int64)  # of the images, on the CPU
        self._reading: Reading | None = None
        self._next_step = 0

    def again(self) -> Batches:
        """Others of the same pictures, which go their own way."""
        return Batches(self.pictures, self.batch_size)

    def start_epoch(self, generator: torch.Generator) -> None:
        """Draw the whole epoch from a CPU generator: the order, then what the augmentation needs."""
        used = self.pictures.draw(generator)[:, : self.steps_per_epoch * self.batch_size]
        self.close()
        self._order = used[0] % len(self.pictures)
        self._epoch = used.to(self.pictures.device)

    def index(self, step_in_epoch: int) -> Tensor:
        """What batch `step_in_epoch` consists of: source, then dy, dx with crops, then cy, cx with cutout;
        int64 (1, 3 or 5, B)."""
        start = step_in_epoch * self.batch_size
        return self._epoch[:, start : start + self.batch_size]

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The batch of an index of resident images: x float32 (B, C, H, W) channels-last, y int64 (B,)."""
        return self.pictures.take(index)

    def batch(self, step_in_epoch: int) -> tuple[Tensor, Tensor]:
        """Batch 0..steps_per_epoch - 1 of the epoch begun last, whatever was fetched before.

        Raises:
            DataError: a file of a streamed part cannot be read any more, or has changed.
        """
        index = self.index(step_in_epoch)
        if self.resident:
            return self.take(index)
        return self.pictures.augmented(self._fetch(step_in_epoch), index)

    def close(self) -> None:
        """End the worker processes of a streamed part; the next `batch` starts new ones."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _fetch(self, step: int) -> Tensor:
        """The images of a step, uint8 (B, H, W, C): the next ones of the stream, or of one begun there."""
        if self._reading is None or step != self._next_step:
            self.close()
            files = self.pictures.part.x
            assert not isinstance(files, Tensor)
            rest = in_batches(self._order[step * self.batch_size :], self.batch_size)
            self._reading = Reading(files, rest, self.pictures.device)
        self._next_step = step + 1
        return next(self._reading)


def evaluation_batches(
    part: Part, mean: Sequence[float], std: Sequence[float], size: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, as (x, y) of at most `size`: float32 channels-last, int64.

    `None` = 1000, or fewer of images above 64 px, so that a network's activations stay small.
    """
    height, width = _size(part)
    size = size or max(1, min(1000, EVALUATION_PIXELS // (height * width)))
    normalise = Normalise(mean, std, (height, width), part.y.device)
    for x, y in zip(_pieces(part, size), in_batches(part.y, size), strict=True):
        yield normalise(x), y


def _pieces(part: Part, size: int) -> Iterator[Tensor]:
    """All images in order, uint8 (at most `size`, H, W, C)."""
    if isinstance(part.x, Tensor):
        yield from in_batches(part.x.permute(0, 2, 3, 1), size)
        return
    reading = Reading(part.x, in_batches(torch.arange(len(part)), size), part.y.device)
    try:
        yield from reading
    finally:
        reading.close()


def _size(part: Part) -> tuple[int, int]:
    return part.x.shape[2], part.x.shape[3]
