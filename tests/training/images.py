"""Folders of small image files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cow")


def picture(seed: int, height: int = 14, width: int = 11) -> np.ndarray:
    """Random uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_folder(root: Path, n_train: int = 12, n_test: int = 2, test: str = "test") -> Path:
    """Images of `CLASSES`, so many per class and part, of several sizes and formats."""
    for number, name in enumerate(CLASSES):
        for i in range(n_train + n_test):
            part = "train" if i < n_train else test
            suffix = ("png", "jpg", "bmp")[i % 3]
            save(root / part / name / f"{i:03}.{suffix}", picture(100 * number + i, 12 + i % 4, 12 + i % 5))
    return root
