"""A person's own data set: FACTORY(data_dir) of a module or file of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reprtune.errors import DataError
from reprtune.importing import PREFIX
from reprtune.training.data.arrays import Arrays
from reprtune.training.data.npz import KEYS, checked
from reprtune.training.platform import user_code

HOW = f"Return ({', '.join(KEYS)}) as NumPy arrays: images uint8, N x C x H x W; labels whole numbers."


def load(argument: str, data_dir: Path) -> Arrays:
    """What the factory `argument` ("module:name" or "file.py:name") makes of the folder of data sets.

    Images are uint8, N x C x H x W, or N x H x W for grey ones; labels any whole numbers 0..K-1.

    Raises:
        DataError: there is no such factory, it fails, or returns anything else.
    """
    source = f"{PREFIX}{argument}"
    found = user_code.load(argument, DataError).call(data_dir)
    _check_form(source, found)
    return checked(source, *found)


def _check_form(source: str, found: Any) -> None:
    if not isinstance(found, (tuple, list)) or len(found) != len(KEYS):
        what = (
            f"{type(found).__name__} of {len(found)}" if hasattr(found, "__len__") else type(found).__name__
        )
        raise DataError(f"{source} must return {len(KEYS)} arrays, but returned a {what}.", HOW)
    for key, array in zip(KEYS, found, strict=True):
        if not isinstance(array, np.ndarray):
            raise DataError(f"{source}: {key} must be a NumPy array, but is {type(array).__name__}.", HOW)
