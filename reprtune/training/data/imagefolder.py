"""A person's own image files, decoded once where they fit in memory, else in every epoch.

DATA/prepared/imagefolder-KEY/ holds, for one folder and one size, `index.npz` (names, sizes, times, digests
and sums of the files) and, after `data prepare`, `pixels-DIGEST.npy` (the decoded images, to be mapped).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from reprtune.errors import DataError
from reprtune.files import replacing
from reprtune.training.data.augment import Augment
from reprtune.training.data.converted import FOLDER
from reprtune.training.data.download import writable
from reprtune.training.data.files import CHANNELS, ImageFiles
from reprtune.training.data.folder import LAYOUT, Index, Listing, Progress, recall, scan, store, survey
from reprtune.training.data.memory import free_ram, resident_limit

USUAL_SIZE = 224


def silent(_text: str, _done: int, _total: int) -> None:
    """No progress."""


@dataclass(eq=False)
class Folder:
    """A listed and surveyed folder.

    Attributes:
        home: where its index and pixels are kept, if the data folder can be written to.
        known: was all of the index there already?
    """

    listing: Listing
    index: Index
    home: Path
    known: bool = False
    _pixels: np.ndarray | None = field(default=None, repr=False)

    @property
    def y_train(self) -> np.ndarray:
        return self.listing.labels[: self.listing.n_train]

    @property
    def y_test(self) -> np.ndarray:
        return self.listing.labels[self.listing.n_train :]

    @property
    def n_classes(self) -> int:
        return len(self.listing.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        return self.listing.files.shape[1:]

    @property
    def n_bytes(self) -> int:
        """Bytes of all images, decoded."""
        return int(np.prod(self.listing.files.shape, dtype=np.int64))

    @property
    def digest(self) -> str:
        return self.index.digest(self.listing)

    @property
    def pixels_path(self) -> Path:
        return self.home / f"pixels-{self.digest[:16]}.npy"

    def fits(self, device: torch.device, augment: str) -> bool:
        """May the images stay on the device, and the pictures that batches are drawn from beside them?"""
        in_ram = device.type == "cpu" or self.n_bytes <= free_ram()  # they pass through it
        return in_ram and self.n_bytes + self._stored_bytes(augment) <= resident_limit(device)

    def _stored_bytes(self, augment: str) -> int:
        """Bytes of the pictures of all training images, at most."""
        channels, *size = self.shape
        kind = Augment.of(augment, 0, (size[0], size[1]))
        return math.prod(kind.stored_shape(self.listing.n_train, (size[0], size[1]), channels))

    def images(self, rows: np.ndarray, device: torch.device, *, resident: bool) -> Tensor | ImageFiles:
        """Images `rows` of the listing: decoded, uint8 (N, C, H, W) on the device, or their files."""
        if not resident:
            return self.listing.files.select(rows)
        return torch.from_numpy(self._decoded()[rows]).to(device).permute(0, 3, 1, 2)

    def forget(self) -> None:
        """Let go of decoded images that `images` kept for its next call."""
        self._pixels = None

    def statistics(self, rows: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel of images `rows`, in pixel values / 255; exact sums."""
        n = len(rows) * self.shape[1] * self.shape[2]
        sums, squares = ([int(v) for v in sum_] for sum_ in self.index.moments[rows].sum(0))
        mean = tuple(s / n / 255 for s in sums)
        variances = ((n * q - s * s) / n**2 for s, q in zip(sums, squares, strict=True))
        return mean, tuple(v**0.5 / 255 if v > 0 else 1.0 for v in variances)

    def _decoded(self) -> np.ndarray:
        """All images, uint8 (N, H, W, C): mapped from the prepared file, or decoded now."""
        if self._pixels is None:
            self._pixels = self.prepared_pixels()
        if self._pixels is None:
            pixels = np.empty(_stored_shape(self.listing.files), np.uint8)
            survey(self.listing, self.index, silent, pixels)
            self._pixels = pixels
        return self._pixels

    def prepared_pixels(self) -> np.ndarray | None:
        """The prepared file, mapped and its digest checked; None when it is absent or damaged."""
        path = self.pixels_path
        if not path.exists():
            return None
        try:
            pixels: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            expected = path.with_suffix(".sha256").read_text()
        except (OSError, ValueError, EOFError):
            return None
        whole = pixels.shape == _stored_shape(self.listing.files) and _sha256(pixels) == expected
        return pixels if whole else None

    def write_pixels(self, progress: Progress) -> None:
        """Decode everything into the prepared file."""
        path = self.pixels_path
        with replacing(path) as aside, replacing(path.with_suffix(".sha256")) as sum_aside:
            pixels = np.lib.format.open_memmap(
                aside, mode="w+", dtype=np.uint8, shape=_stored_shape(self.listing.files)
            )
            survey(self.listing, self.index, progress, pixels)
            pixels.flush()
            sum_aside.write_text(_sha256(pixels))


def load(
    argument: str, data_dir: Path, *, image_size: int | None = None, progress: Progress = silent
) -> Folder:
    """List `argument`, a folder, and look into the files that are new or changed since the last time.

    Args:
        argument: a relative path is looked for here first and then in `data_dir`.
        image_size: side in px; None = 224.

    Raises:
        DataError: no such folder, another layout, or files that are no whole images.
    """
    listing = scan(_find(argument, data_dir), image_size or USUAL_SIZE)
    home = _home(listing, data_dir)
    known = recall(home / "index.npz", listing)
    if known is not None and known.digests.any(1).all():
        return Folder(listing, known, home, known=True)
    if not writable(home):
        return Folder(listing, survey(listing, known, progress), home)
    with locked(home):
        known = recall(home / "index.npz", listing)  # another worker may have been faster
        index = survey(listing, known, progress)
        store(home / "index.npz", listing, index)
    return Folder(listing, index, home)


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """One process at a time writes there."""
    with FileLock(home / ".lock"):
        yield


def _find(argument: str, data_dir: Path) -> Path:
    here = Path(argument).expanduser()
    places = list(dict.fromkeys([here.resolve(), (data_dir.expanduser() / here).resolve()]))
    for path in places:
        if path.is_dir():
            return path
    raise DataError(f"There is no folder {' or '.join(map(str, places))}.", LAYOUT)


def _home(listing: Listing, data_dir: Path) -> Path:
    root, side = listing.files.root, listing.files.side
    key = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return data_dir.expanduser().resolve() / FOLDER / f"imagefolder-{root.name}-{side}-{key}"


def _stored_shape(files: ImageFiles) -> tuple[int, int, int, int]:
    return len(files), files.side, files.side, CHANNELS


def _sha256(pixels: np.ndarray) -> str:
    whole = hashlib.sha256()
    for start in range(0, len(pixels), 256):
        whole.update(np.ascontiguousarray(pixels[start : start + 256]).data)
    return whole.hexdigest()
