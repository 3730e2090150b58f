"""A folder of image files: which there are, of what class, and what is in them.

PATH/train/CLASS/* are the official training images, PATH/test/CLASS/* the test images; where there is no
test/, val/ takes its place. Classes are numbered in the order of their names, images in the order of their
paths. Names that begin with a dot are left out, and files of other kinds.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch

from reprtune.errors import DataError
from reprtune.files import replacing
from reprtune.training.data.files import CHANNELS, ImageFiles, Survey
from reprtune.training.data.streams import Reading, in_batches
from reprtune.training.platform.torchvision_import import datasets

EXTENSIONS: tuple[str, ...] = datasets.folder.IMG_EXTENSIONS
LAYOUT = "Put the images into PATH/train/CLASS/ and PATH/test/CLASS/, the same classes in both."
SURVEY_BATCH = 32
MOST_NAMED = 3  # damaged files in one message
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Listing:
    """The files of a folder, the training ones first.

    Attributes:
        labels: int64 (N,). n_train: how many of them are training images.
        test_name: `test` or `val`.
    """

    files: ImageFiles
    labels: np.ndarray
    n_train: int
    classes: tuple[str, ...]
    test_name: str


@dataclass(frozen=True, eq=False)
class Index:
    """What is in the files of a listing.

    Attributes:
        digests: SHA-256 of each file, uint8 (N, 32).
        moments: sum and sum of squares of the decoded pixels per channel, int64 (N, 2, C).
    """

    digests: np.ndarray
    moments: np.ndarray

    def digest(self, listing: Listing) -> str:
        """Hex SHA-256 of contents, labels, classes and size, and of the version that decodes them."""
        what = [listing.files.side, listing.classes, listing.n_train, PIL.__version__]
        whole = hashlib.sha256(json.dumps(what).encode())
        whole.update(listing.labels.astype("<i8").tobytes())
        whole.update(np.ascontiguousarray(self.digests).data)
        return whole.hexdigest()


def scan(root: Path, side: int) -> Listing:
    """List a folder; nothing is opened.

    Raises:
        DataError: no train/ or no test/, no classes, other classes in one than in the other, or a class
            without images.
    """
    train = _classes(root, "train")
    test_name = "test" if (root / "test").is_dir() or not (root / "val").is_dir() else "val"
    test = _classes(root, test_name)
    if different := sorted(set(train) ^ set(test)):
        where = "train" if different[0] in train else test_name
        raise DataError(
            f"{root / 'train'} and {root / test_name} must hold the same classes, "
            f"but {different[0]!r} is only in {where}.",
            LAYOUT,
        )
    if len(train) < 2:
        raise DataError(f"{root / 'train'} must hold at least 2 classes, but has only {train[0]!r}.", LAYOUT)
    found = [(part, number, name) for part in ("train", test_name) for number, name in enumerate(train)]
    names: list[str] = []
    stamps: list[tuple[int, int]] = []
    labels: list[int] = []
    for part, number, name in found:
        for path, stamp in _images(root, f"{part}/{name}"):
            names.append(path)
            stamps.append(stamp)
            labels.append(number)
    n_train = sum(name.startswith("train/") for name in names)
    files = ImageFiles(root, np.array(names), np.array(stamps, np.int64), side)
    return Listing(files, np.array(labels, np.int64), n_train, tuple(train), test_name)


def _classes(root: Path, part: str) -> list[str]:
    if not (root / part).is_dir():
        raise DataError(f"There is no folder {root / part}.", LAYOUT)
    found = sorted(p.name for p in (root / part).iterdir() if p.is_dir() and not p.name.startswith("."))
    if not found:
        raise DataError(f"{root / part} must hold a folder for each class, but has none.", LAYOUT)
    return found


def _images(root: Path, folder: str) -> list[tuple[str, tuple[int, int]]]:
    """(path, (size, time)) of the images of a class, also in folders below it, by path."""
    found = sorted(_walk(root / folder, folder))
    if not found:
        raise DataError(
            f"Every class must have an image, but {root / folder} has none.",
            f"Images end in {', '.join(EXTENSIONS)}.",
        )
    return found


def _walk(folder: Path, name: str) -> Iterator[tuple[str, tuple[int, int]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, f"{name}/{entry.name}")
            elif entry.name.lower().endswith(EXTENSIONS) and entry.is_file():
                stat = entry.stat()
                yield f"{name}/{entry.name}", (stat.st_size, stat.st_mtime_ns)


def survey(
    listing: Listing, known: Index | None, progress: Progress, pixels: np.ndarray | None = None
) -> Index:
    """Read and decode the files, all of them or those that `known` has no row for.

    Args:
        known: of the same listing; a row whose digest is all 0 is not known.
        pixels: takes the decoded images, uint8 (N, H, W, C); then every file is decoded.

    Raises:
        DataError: naming files that are no whole images.
    """
    n = len(listing.files)
    if known is None:
        known = Index(np.zeros((n, 32), np.uint8), np.zeros((n, 2, CHANNELS), np.int64))
    rows = np.arange(n) if pixels is not None else np.flatnonzero(~known.digests.any(1))
    index = Index(known.digests.copy(), known.moments.copy())
    order = in_batches(torch.from_numpy(rows), SURVEY_BATCH)
    failures, done = [], 0
    reading = Reading(Survey(**vars(listing.files)), order)
    try:
        for found in reading:
            at = found.rows.numpy()
            index.digests[at], index.moments[at] = found.digests.numpy(), found.moments.numpy()
            if pixels is not None:
                pixels[at] = found.images.numpy()
            failures += found.failures
            done += len(at)
            progress("images checked", done, len(rows))
    finally:
        reading.close()
    if failures:
        named = " ".join(failure.message for failure in failures[:MOST_NAMED])
        more = f" And {len(failures) - MOST_NAMED} more." if len(failures) > MOST_NAMED else ""
        raise DataError(f"{len(failures)} of {n} images cannot be used: {named}{more}", failures[0].hint)
    return index


def store(path: Path, listing: Listing, index: Index) -> None:
    """Write an index with the names and stamps it belongs to."""
    with replacing(path) as aside:
        np.savez(
            aside, names=listing.files.names, stamps=listing.files.stamps, pillow=np.array(PIL.__version__),
            digests=index.digests, moments=index.moments,
        )  # fmt: skip


def recall(path: Path, listing: Listing) -> Index | None:
    """What a stored index knows of the files of a listing, by path, size and time; None when it knows nothing.

    Rows of new and changed files are 0.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["pillow"]) != PIL.__version__:
                return None  # another version may decode to other pixels
            names, stamps = stored["names"], stored["stamps"]
            digests, moments = stored["digests"], stored["moments"]
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    n = len(listing.files)
    index = Index(np.zeros((n, 32), np.uint8), np.zeros((n, 2, CHANNELS), np.int64))
    old, new = _keys(names, stamps), _keys(listing.files.names, listing.files.stamps)
    place = {key: row for row, key in enumerate(old)}
    pairs = [(row, place[key]) for row, key in enumerate(new) if key in place]
    if pairs:
        to, where = np.array(pairs).T
        index.digests[to], index.moments[to] = digests[where], moments[where]
    return index


def _keys(names: np.ndarray, stamps: np.ndarray) -> Iterator[tuple[str, int, int]]:
    return zip(names.tolist(), *stamps.T.tolist(), strict=True)
