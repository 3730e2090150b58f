"""Arrays in one file that reads fast: what `data prepare` leaves for the workers.

DATA/prepared/NAME.npz holds the four arrays, not compressed, and their digest. Reading it costs one
SHA-256, which the name of a trial's states needs anyway, instead of unpickling, parsing and two sums.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reprtune.errors import DataError
from reprtune.files import replacing
from reprtune.training.data.arrays import Arrays, digest

FOLDER = "prepared"
KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Conversion:
    """The file of the data set `name` in a data folder."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / FOLDER / f"{self.name}.npz"

    def read(self) -> Arrays | None:
        """The arrays, their digest checked; None when the file is absent or damaged."""
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = Arrays(*(archive[key] for key in KEYS))
                expected = str(archive["digest"])
        except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, DataError):
            return None
        found = digest(arrays)
        return replace(arrays, known_digest=found) if found == expected else None

    def write(self, arrays: Arrays) -> None:
        """Write or replace the file, whole or not at all."""
        with replacing(self.path) as path:
            np.savez(
                path,
                x_train=arrays.x_train, y_train=arrays.y_train, x_test=arrays.x_test, y_test=arrays.y_test,
                digest=np.array(digest(arrays)),
            )  # fmt: skip
