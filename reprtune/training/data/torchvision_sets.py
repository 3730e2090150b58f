"""Fashion-MNIST (arXiv 1708.07747) and CIFAR-10 (Krizhevsky 2009), through torchvision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from reprtune.training.data.arrays import Arrays
from reprtune.training.data.download import Source, load
from reprtune.training.torchvision_import import datasets

# The published sums are those of the .gz files; of an unpacked one the size tells whether it is whole.
_IDX_BYTES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}


def fashion_mnist(_argument: str, data_dir: Path) -> Arrays:
    """70,000 grey 28x28 images, from `data_dir`/FashionMNIST/raw."""
    raw = "FashionMNIST/raw/"
    source = Source(
        name="fashion-mnist",
        files={raw + name: partial(_has_size, n_bytes) for name, n_bytes in _IDX_BYTES.items()},
        archives={raw + name: _has_md5(md5) for name, md5 in datasets.FashionMNIST.resources},
        fetch=lambda folder: datasets.FashionMNIST(folder, download=True),
        read=lambda folder: _arrays(datasets.FashionMNIST, folder),
    )
    return load(source, data_dir)


def cifar10(_argument: str, data_dir: Path) -> Arrays:
    """60,000 colour 32x32 images, from `data_dir`/cifar-10-batches-py."""
    cifar = datasets.CIFAR10
    files = [*cifar.train_list, *cifar.test_list, (cifar.meta["filename"], cifar.meta["md5"])]
    source = Source(
        name="cifar10",
        files={f"{cifar.base_folder}/{name}": _has_md5(md5) for name, md5 in files},
        archives={cifar.filename: _has_md5(cifar.tgz_md5)},
        fetch=lambda folder: cifar(folder, download=True),
        read=lambda folder: _arrays(cifar, folder),
    )
    return load(source, data_dir)


def _arrays(kind: Callable[..., datasets.VisionDataset], folder: Path) -> Arrays:
    parts = []
    for train in (True, False):
        part = kind(folder, train=train)
        x = np.asarray(part.data)
        x = x[:, None] if x.ndim == 3 else np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        parts += [x, np.asarray(part.targets, np.int64)]
    return Arrays(*parts)


def _has_size(n_bytes: int, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == n_bytes


def _has_md5(md5: str) -> Callable[[Path], bool]:
    return lambda path: datasets.utils.check_integrity(path, md5)
