"""A person's own data set: the four arrays their factory returns, held to the rules of every data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reprtune.errors import DataError
from reprtune.training.data import user
from tests.training.own_code import Folder, folder

__all__ = ["folder"]

START = "import numpy as np\ndef load(data_dir):\n    "
GOOD = """x = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3)
    y = np.array([0, 1, 2, 0, 1, 2], np.int16)
    return x, y, x[:3] + 100, y[:3]
"""


def test_the_arrays_are_the_factorys(folder: Folder) -> None:
    """Grey images get a channel, labels become int64; the order is images and labels to train, then to test."""
    folder.write("sets.py", START + GOOD)
    arrays = user.load("sets:load", Path("somewhere"))
    assert (arrays.x_train.shape, arrays.x_test.shape) == ((6, 1, 2, 3), (3, 1, 2, 3))
    assert (arrays.x_train[1, 0, 0, 0], arrays.x_test[1, 0, 0, 0]) == (6, 106)
    assert arrays.y_train.tolist() == [0, 1, 2, 0, 1, 2] and arrays.y_test.tolist() == [0, 1, 2]
    assert arrays.y_train.dtype == np.int64 and arrays.n_classes == 3


def test_the_factory_is_told_the_folder_of_data_sets(folder: Folder) -> None:
    """As a path, so that it can read files from there."""
    folder.write("sets.py", START + "raise OSError(repr(data_dir / 'file'))\n")
    with pytest.raises(
        DataError, match=r"python:sets:load failed when called with .*OSError: .*over/there/file"
    ):
        user.load("sets:load", Path("over/there"))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "must return 4 arrays, but returned a NoneType"),
        ("x, y, x", "must return 4 arrays, but returned a tuple of 3"),
        ("dict(x_train=x)", "must return 4 arrays, but returned a dict of 1"),
        ("x, y.tolist(), x, y", "y_train must be a NumPy array, but is list"),
        ("x, y, x / 255, y", "python:sets:load: x_test must be uint8"),
        ("x, y / 2, x, y", "python:sets:load: y_train must hold whole numbers"),
        ("np.zeros((6, 9, 9, 3), np.uint8), y, x, y", "x_train must be N x C x H x W, but its shape"),
        ("x, y + 1, x, y", "Every class 0..3 must have a training image, but class 0 has none"),
        ("x, y[:4], x, y", "y_train must hold one label for each of 6 images"),
    ],
)
def test_anything_else_is_refused(folder: Folder, returned: str, message: str) -> None:
    """The message names the factory, the array and the rule."""
    text = GOOD.replace("return x, y, x[:3] + 100, y[:3]", f"return {returned}")
    folder.write("sets.py", START + text)
    with pytest.raises(DataError) as error:
        user.load("sets:load", Path())
    assert message in error.value.message and "python:sets:load" in error.value.message


def test_a_module_that_is_absent_is_a_data_error(folder: Folder) -> None:
    """Not an error of the network, though both are found in the same way."""
    with pytest.raises(DataError, match="python:absent:load: there is no module 'absent'"):
        user.load("absent:load", Path())
