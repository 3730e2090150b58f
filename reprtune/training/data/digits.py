"""Handwritten digits that come with scikit-learn (Alpaydin and Kaynak, UCI, 1998): 1,797 grey 8x8 images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from reprtune.training.data.arrays import Arrays
from reprtune.training.data.split import stratified

TEST_IMAGES = 359  # 20 % of 1,797
SPLIT_SEED = 0  # of the test images: fixed, as other data sets come with theirs


def load(_argument: str, _data_dir: Path) -> Arrays:
    """All digits, a fixed stratified fifth of them as test images.

    A grey level v of 0..16 becomes the nearest whole number to 255 v / 16 (even, when half way).
    """
    images, labels = load_digits(return_X_y=True)
    x = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    y = labels.astype(np.int64)
    test, train = stratified(y, [TEST_IMAGES], np.random.default_rng(SPLIT_SEED))
    return Arrays(x[train], y[train], x[test], y[test])
