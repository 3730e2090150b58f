"""A person's own images from one .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from reprtune.errors import DataError
from reprtune.training.data.arrays import Arrays

KEYS = ("x_train", "y_train", "x_test", "y_test")
HOW = "Write one with numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...)."


def load(argument: str, data_dir: Path) -> Arrays:
    """Read `argument`, a path; a relative one is looked for here first and then in `data_dir`.

    Images are uint8, N x C x H x W, or N x H x W for grey ones; labels any whole numbers 0..K-1.

    Raises:
        DataError: no such file, not an .npz file, missing arrays, or arrays of another form.
    """
    path = _find(argument, data_dir)
    found = _read(path)
    if missing := [key for key in KEYS if key not in found]:
        raise DataError(
            f"{path} must hold the arrays {', '.join(KEYS)}, but {', '.join(missing)} is missing "
            f"(it holds {', '.join(found) or 'none'}).",
            HOW,
        )
    return checked(str(path), *(found[key] for key in KEYS))


def checked(
    source: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray
) -> Arrays:
    """Somebody's arrays as a data set.

    Raises:
        DataError: an array has another form; `source` says where it comes from.
    """
    try:
        return Arrays(
            _images("x_train", x_train), _labels("y_train", y_train),
            _images("x_test", x_test), _labels("y_test", y_test),
        )  # fmt: skip
    except DataError as error:
        raise DataError(f"{source}: {error.message}", error.hint) from None


def _find(argument: str, data_dir: Path) -> Path:
    here = Path(argument).expanduser()
    places = list(dict.fromkeys([here, data_dir.expanduser() / here]))
    for path in places:
        if path.is_file():
            return path
    raise DataError(f"There is no file {' or '.join(str(p.resolve()) for p in places)}.", HOW)


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file that we use, and of others only the names."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] if key in KEYS else np.empty(0) for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, TypeError, AttributeError) as error:
        # a plain .npy gives an array, which is no context manager: TypeError, or AttributeError
        raise DataError(f"{path} cannot be read as an .npz file of plain arrays: {error}.", HOW) from error


def _images(name: str, x: np.ndarray) -> np.ndarray:
    if x.ndim == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        raise DataError(
            f"{name} must be N x C x H x W, but its shape {x.shape} looks like N x H x W x C.",
            f"Transpose it: {name} = numpy.transpose({name}, (0, 3, 1, 2)).",
        )
    return x[:, None] if x.ndim == 3 else x


def _labels(name: str, y: np.ndarray) -> np.ndarray:
    if y.dtype.kind not in "iu":
        raise DataError(f"{name} must hold whole numbers, but is {y.dtype}.")
    return y.astype(np.int64)
