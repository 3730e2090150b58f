"""Everything that a data set needs once, before many workers read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from reprtune.files import replacing
from reprtune.spec import catalog
from reprtune.training.data.arrays import Arrays
from reprtune.training.data.converted import Conversion
from reprtune.training.data.download import load, writable
from reprtune.training.data.folder import Progress
from reprtune.training.data.imagefolder import Folder, locked, silent
from reprtune.training.data.imagefolder import load as load_folder
from reprtune.training.data.memory import free_ram
from reprtune.training.data.torchvision_sets import SOURCES

PIXELS_SHARE = 0.5  # of the free RAM: larger folders are streamed, and need no decoded copy on the disk


@dataclass(frozen=True)
class Prepared:
    """A data set that is ready.

    Attributes:
        already: was there nothing left to do?
        n_bytes: of all images, decoded.
        path: what the workers read; None where that is the data set itself.
        note: what else a person should know, in one sentence; or empty.
    """

    name: str
    already: bool
    n_train: int
    n_test: int
    n_classes: int
    image_shape: tuple[int, int, int]
    n_bytes: int
    path: Path | None = None
    note: str = ""

    def __str__(self) -> str:
        done = "already prepared" if self.already else "prepared"
        shape = " x ".join(map(str, self.image_shape))
        return (
            f"{self.name}: {done}, {self.n_train:,} training and {self.n_test:,} test images of {shape} "
            f"in {self.n_classes} classes, {self.n_bytes / 1e6:,.0f} MB."
            + (f" {self.note}" if self.note else "")
        )


def prepare(
    name: str, data_dir: Path, progress: Progress = silent, *, image_size: int | None = None
) -> Prepared:
    """Download, check and convert a data set of the catalog, so that workers afterwards only read.

    Several processes may ask at once: one works, the others wait. Interrupted, it leaves nothing half-written.

    Args:
        progress: called with what is done, how much of it, and out of how much.
        image_size: of the images of a folder, as `task.image_size`.

    Raises:
        SpecError: there is no such data set. DataError: it is absent, incomplete or damaged.
    """
    folder = data_dir.expanduser().resolve()
    if name in SOURCES:
        return _prepare_arrays(name, folder, progress)
    argument = catalog.argument("datasets", name)
    if "image_size" in catalog.find("datasets", name).fields:
        return _prepare_folder(
            name, load_folder(argument, folder, image_size=image_size, progress=progress), progress
        )
    arrays: Arrays = catalog.resolve("datasets", name)(argument, folder)
    return replace(_summary(name, arrays), already=True, note="Nothing needs to be prepared.")


def _prepare_arrays(name: str, folder: Path, progress: Progress) -> Prepared:
    stored = Conversion(folder, name)
    if (found := _recall(stored)) is not None:
        return found
    if not writable(folder):
        arrays = load(SOURCES[name](), folder)
        return replace(
            _summary(name, arrays), note=f"{folder} cannot be written to: workers read the original."
        )
    stored.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(stored.path.with_name(f".{name}.lock")):
        if (found := _recall(stored)) is not None:
            return found
        progress("downloaded and checked", 0, 2)
        arrays = load(SOURCES[name](), folder)
        progress("downloaded and checked", 1, 2)
        stored.write(arrays)
        summary = replace(_summary(name, arrays), path=stored.path)
        _remember(stored, summary)
        progress("converted", 2, 2)
    return summary


def _prepare_folder(name: str, folder: Folder, progress: Progress) -> Prepared:
    taken_for_test = folder.listing.test_name
    notes = ["There is no test/, so that val/ serves as test images."] if taken_for_test == "val" else []
    summary = Prepared(
        name=name,
        already=folder.known,
        n_train=len(folder.y_train),
        n_test=len(folder.y_test),
        n_classes=folder.n_classes,
        image_shape=folder.shape,
        n_bytes=folder.n_bytes,
        path=folder.home,
    )
    if folder.n_bytes > PIXELS_SHARE * free_ram():
        notes.append("It does not fit in memory: the files are decoded in every epoch.")
    elif writable(folder.home) and not folder.pixels_path.exists():
        with locked(folder.home):
            _remove_old_pixels(folder)
            folder.write_pixels(progress)
        summary = replace(summary, already=False)
    return replace(summary, note=" ".join(notes))


def _remove_old_pixels(folder: Folder) -> None:
    """Decoded images of the folder as it was before its files changed."""
    for path in folder.home.glob("pixels-*"):
        if path.stem != folder.pixels_path.stem:
            path.unlink()


def _summary(name: str, arrays: Arrays) -> Prepared:
    channels, height, width = arrays.x_train.shape[1:]
    return Prepared(
        name=name,
        already=False,
        n_train=len(arrays.y_train),
        n_test=len(arrays.y_test),
        n_classes=arrays.n_classes,
        image_shape=(channels, height, width),
        n_bytes=arrays.x_train.nbytes + arrays.x_test.nbytes,
    )


def _notes(stored: Conversion) -> Path:
    return stored.path.with_suffix(".json")


def _remember(stored: Conversion, summary: Prepared) -> None:
    """What a second call answers without reading the arrays."""
    plain: dict[str, Any] = {**asdict(summary), "path": None, "stamp": _stamp(stored)}
    with replacing(_notes(stored)) as aside:
        aside.write_text(json.dumps(plain))


def _recall(stored: Conversion) -> Prepared | None:
    try:
        plain = json.loads(_notes(stored).read_text())
        if plain.pop("stamp") != _stamp(stored):
            return None
        plain |= {"already": True, "path": stored.path, "image_shape": tuple(plain["image_shape"])}
        return Prepared(**plain)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stamp(stored: Conversion) -> list[int]:
    found = stored.path.stat()
    return [found.st_size, found.st_mtime_ns]
