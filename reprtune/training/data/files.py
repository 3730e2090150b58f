"""Image files as uint8 arrays of one size."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reprtune.errors import DataError
from reprtune.training.platform.torchvision_import import transforms

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
CHANNELS = 3
HINT = "Repair or remove it; `data prepare` checks every file."


@dataclass(frozen=True)
class Failure:
    """An error on its way from a worker process."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Files that are decoded when asked for.

    Attributes:
        root: folder of the names. names: paths below it, with `/` (N,).
        stamps: size in bytes and time of last change in ns (N, 2).
        side: height and width in px they are scaled and cut to.
    """

    root: Path
    names: np.ndarray
    stamps: np.ndarray
    side: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""
        return len(self.names), CHANNELS, self.side, self.side

    def select(self, rows: np.ndarray) -> ImageFiles:
        return replace(self, names=self.names[rows], stamps=self.stamps[rows])

    def content(self, row: int) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: it is gone, unreadable, or has changed since it was listed.
        """
        path = self.root / str(self.names[row])
        try:
            with path.open("rb") as file:
                found, content = os.fstat(file.fileno()), file.read()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}.", HINT) from error
        if (found.st_size, found.st_mtime_ns) != tuple(self.stamps[row]):
            raise DataError(
                f"{path} has changed since it was listed.", "Start again with the files as they are."
            )
        return content

    def decode(self, row: int, content: bytes) -> np.ndarray:
        """uint8 H x W x C.

        Raises:
            DataError: the content is no whole image.
        """
        try:
            with Image.open(io.BytesIO(content)) as image:
                return np.asarray(scaled(as_rgb(image), self.side))
        except UNREADABLE as error:
            cause = str(error) if content else "it is empty"
            path = self.root / str(self.names[row])
            raise DataError(f"{path} cannot be read as an image: {cause}.", HINT) from error

    def __getitems__(self, rows: Tensor) -> Tensor | Failure:
        """The images of a batch, uint8 (B, H, W, C), for a DataLoader."""
        batch = np.empty((len(rows), self.side, self.side, CHANNELS), np.uint8)
        try:
            for place, row in enumerate(rows.tolist()):
                batch[place] = self.decode(row, self.content(row))
        except DataError as error:
            return Failure(error.message, error.hint)
        return torch.from_numpy(batch)


@dataclass(frozen=True, eq=False)
class Surveyed:
    """What a look at some files found.

    Attributes:
        rows: of the files (B,). images: uint8 (B, H, W, C).
        digests: SHA-256 of the contents, uint8 (B, 32).
        moments: sum and sum of squares of the pixels of each channel, int64 (B, 2, C).
        failures: of the files that are no images; their rows hold nothing of use.
    """

    rows: Tensor
    images: Tensor
    digests: Tensor
    moments: Tensor
    failures: tuple[Failure, ...]


@dataclass(frozen=True, eq=False)
class Survey(ImageFiles):
    """The same files, for a DataLoader that looks at everything once."""

    def __getitems__(self, rows: Tensor) -> Surveyed:  # type: ignore[override]
        n, failures = len(rows), []
        images = np.zeros((n, self.side, self.side, CHANNELS), np.uint8)
        digests, moments = np.zeros((n, 32), np.uint8), np.zeros((n, 2, CHANNELS), np.int64)
        for place, row in enumerate(rows.tolist()):
            try:
                content = self.content(row)
                images[place] = self.decode(row, content)
            except DataError as error:
                failures.append(Failure(error.message, error.hint))
                continue
            digests[place] = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
            moments[place] = _moments(images[place])
        found = [torch.from_numpy(array) for array in (images, digests, moments)]
        return Surveyed(rows, found[0], found[1], found[2], tuple(failures))


def as_rgb(image: Image.Image) -> Image.Image:
    """Three channels of 8 bits: grey is repeated, transparency dropped, 16-bit grey v becomes v / 257,
    CMYK and others are converted as Pillow does.

    Raises:
        ValueError: the pixels are floating-point numbers, whose range nobody knows.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, but must be 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow would cut 16 bits off at 255
        levels = np.clip(np.rint(np.asarray(image, np.float64) / 257), 0, 255)
        image = Image.fromarray(levels.astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def scaled(image: Image.Image, side: int) -> Image.Image:
    """The shorter side scaled to `side` px, smoothed, then the middle square."""
    smaller = transforms.functional.resize(image, [side], antialias=True)
    square: Image.Image = transforms.functional.center_crop(smaller, [side, side])
    return square


def _moments(image: np.ndarray) -> np.ndarray:
    pixels = image.reshape(-1, CHANNELS).astype(np.int64)
    return np.stack([pixels.sum(0), (pixels * pixels).sum(0)])
