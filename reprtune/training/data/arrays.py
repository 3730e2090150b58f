"""What every data set is once loaded: four checked arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from reprtune.errors import DataError


@dataclass(frozen=True, eq=False)
class Arrays:
    """Official training and test images with their labels.

    Attributes:
        x_train, x_test: uint8, N x C x H x W.
        y_train, y_test: int64, N; classes 0..K-1, each with a training image.
        known_digest: what `digest` says of them, by whoever has just computed it.

    Raises:
        DataError: naming the array, the rule and what was found.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    known_digest: str | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            _check_images(f"x_{part}", getattr(self, f"x_{part}"))
            _check_labels(f"y_{part}", getattr(self, f"y_{part}"), len(getattr(self, f"x_{part}")))
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise DataError(
                f"x_train and x_test must have the same C x H x W, "
                f"but got {_by(self.x_train.shape[1:])} and {_by(self.x_test.shape[1:])}."
            )
        self._check_classes()

    @property
    def n_classes(self) -> int:
        return int(self.y_train.max()) + 1

    def _check_classes(self) -> None:
        counts = np.bincount(self.y_train)
        if len(counts) < 2:
            raise DataError("y_train must hold at least 2 classes, but every label is 0.")
        if not counts.all():
            raise DataError(
                f"Every class 0..{len(counts) - 1} must have a training image, "
                f"but class {int(np.argmin(counts))} has none.",
                "Number the classes 0, 1, 2, ... without gaps.",
            )
        if (last := int(self.y_test.max())) >= len(counts):
            raise DataError(
                f"y_test must hold only classes of y_train (0..{len(counts) - 1}), but got {last}."
            )


def digest(arrays: Arrays) -> str:
    """Hex SHA-256 of all pixels, labels and shapes."""
    if arrays.known_digest is not None:
        return arrays.known_digest
    whole = hashlib.sha256()
    for name in ("x_train", "y_train", "x_test", "y_test"):
        array = getattr(arrays, name)
        whole.update(f"{name} {array.dtype.str} {array.shape};".encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def _check_images(name: str, x: np.ndarray) -> None:
    if x.dtype != np.uint8:
        raise DataError(
            f"{name} must be uint8 (0..255), but is {x.dtype}.",
            "Scale the images to 0..255 and convert them with .astype(numpy.uint8).",
        )
    if x.ndim != 4:
        raise DataError(f"{name} must be N x C x H x W, but has the shape {_by(x.shape)}.")
    if 0 in x.shape:
        raise DataError(f"{name} must not be empty, but has the shape {_by(x.shape)}.")


def _check_labels(name: str, y: np.ndarray, n_images: int) -> None:
    if y.dtype != np.int64:
        raise DataError(f"{name} must be int64, but is {y.dtype}.")
    if y.shape != (n_images,):
        raise DataError(f"{name} must hold one label for each of {n_images} images, but is {_by(y.shape)}.")
    if (first := int(y.min())) < 0:
        raise DataError(
            f"{name} must hold classes 0..K-1, but got {first}.",
            "Number the classes 0, 1, 2, ... without gaps.",
        )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"
