"""A folder that the export command has written, as whoever reads it again finds it.

    network.pt2         the network as torch.export has it; not there where it could not be written
    weights.pt          its parameters and buffers
    description.json    what it is; `member-0`, `member-1`, ... beside it where it is of several networks

`field` is the one of a specification that names the folder: errors begin with it.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

from reprtune.errors import ModelError, SpecError

PROGRAM, WEIGHTS, DESCRIPTION = "network.pt2", "weights.pt", "description.json"
# What reading a file that somebody else may have written can raise.
BROKEN = (OSError, RuntimeError, ValueError, LookupError, TypeError, EOFError, AttributeError,
          pickle.UnpicklingError, zipfile.BadZipFile, ModelError, SpecError)  # fmt: skip


def description(field: str, folder: Path) -> dict[str, Any]:
    """What the folder says of itself.

    Raises:
        SpecError: it says nothing.
    """
    if not (folder / DESCRIPTION).is_file():
        raise wrong(field, folder, f"has no {DESCRIPTION}")
    try:
        return dict(json.loads((folder / DESCRIPTION).read_text()))
    except BROKEN as error:
        raise unsaid(field, folder, error) from error


def check_images(
    field: str, folder: Path, shape: tuple[int, ...], n_classes: int, wanted: tuple[tuple[int, ...], int]
) -> None:
    """Raise SpecError where the network in the folder is for other images or classes than are wanted.

    Args:
        shape, n_classes: of the network. wanted: (C, H, W) and the number of classes of the task.
    """
    want_shape, want_classes = wanted
    if shape != tuple(want_shape):
        raise SpecError(
            f"{field} must read images of {_times(want_shape)} as the task has them, but the network in {folder} "
            f"reads {_times(shape)}.",
            "Export a network that was trained on images of this size.",
        )
    if n_classes != want_classes:
        raise SpecError(
            f"{field} must know the {want_classes} classes of the task, but the network in {folder} knows "
            f"{n_classes}.",
            "Export a network that was trained on as many classes.",
        )


def wrong(field: str, folder: Path, what: str) -> SpecError:
    """The error for a folder that no export is."""
    return SpecError(
        f"{field} must be a folder that the export command has written, but {folder} {what}.",
        "Write one with `trial export` or `train --export`, and give its path.",
    )


def unsaid(field: str, folder: Path, error: Exception) -> SpecError:
    """The same, for what its description lacks."""
    return wrong(field, folder, f"has a {DESCRIPTION} that does not say what it should ({error!r:.200})")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
