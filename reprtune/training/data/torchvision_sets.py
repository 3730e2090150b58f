"""Data sets that torchvision downloads, in the folders where torchvision would put them.

Fashion-MNIST (arXiv 1708.07747), MNIST (LeCun et al. 1998), CIFAR-10 and CIFAR-100 (Krizhevsky 2009) and
SVHN (Netzer et al. 2011).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from reprtune.training.data.arrays import Arrays
from reprtune.training.data.download import Source, load
from reprtune.training.platform.torchvision_import import datasets

# The published sums are those of the .gz files; of an unpacked one the size tells whether it is whole.
_IDX_BYTES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}


def fashion_mnist(_argument: str, data_dir: Path) -> Arrays:
    """70,000 grey 28x28 images, from `data_dir`/FashionMNIST/raw."""
    return load(SOURCES["fashion-mnist"](), data_dir)


def mnist(_argument: str, data_dir: Path) -> Arrays:
    """70,000 grey 28x28 images, from `data_dir`/MNIST/raw."""
    return load(SOURCES["mnist"](), data_dir)


def cifar10(_argument: str, data_dir: Path) -> Arrays:
    """60,000 colour 32x32 images, from `data_dir`/cifar-10-batches-py."""
    return load(SOURCES["cifar10"](), data_dir)


def cifar100(_argument: str, data_dir: Path) -> Arrays:
    """60,000 colour 32x32 images of 100 classes, from `data_dir`/cifar-100-python."""
    return load(SOURCES["cifar100"](), data_dir)


def svhn(_argument: str, data_dir: Path) -> Arrays:
    """73,257 and 26,032 colour 32x32 images, from `data_dir`/{train,test}_32x32.mat; not the `extra` ones."""
    return load(SOURCES["svhn"](), data_dir)


def _idx(name: str, kind: type[datasets.MNIST]) -> Source:
    raw = f"{kind.__name__}/raw/"
    return Source(
        name=name,
        files={raw + file: partial(_has_size, n_bytes) for file, n_bytes in _IDX_BYTES.items()},
        archives={raw + file: _has_md5(md5) for file, md5 in kind.resources},
        fetch=lambda folder: kind(folder, download=True),
        read=lambda folder: _arrays(kind, folder),
    )


def _cifar(name: str, kind: type[datasets.CIFAR10]) -> Source:
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return Source(
        name=name,
        files={f"{kind.base_folder}/{file}": _has_md5(md5) for file, md5 in files},
        archives={kind.filename: _has_md5(kind.tgz_md5)},
        fetch=lambda folder: kind(folder, download=True),
        read=lambda folder: _arrays(kind, folder),
    )


def _svhn() -> Source:
    """Its files are what is downloaded: there is nothing to unpack."""
    files = {file: _has_md5(md5) for _, file, md5 in (datasets.SVHN.split_list[s] for s in ("train", "test"))}

    def fetch(folder: Path) -> None:
        for split in ("train", "test"):
            datasets.SVHN(folder, split=split, download=True)

    return Source(name="svhn", files=files, archives=files, fetch=fetch, read=_svhn_arrays)


SOURCES: dict[str, Callable[[], Source]] = {
    "fashion-mnist": lambda: _idx("fashion-mnist", datasets.FashionMNIST),
    "mnist": lambda: _idx("mnist", datasets.MNIST),
    "cifar10": lambda: _cifar("cifar10", datasets.CIFAR10),
    "cifar100": lambda: _cifar("cifar100", datasets.CIFAR100),
    "svhn": _svhn,
}


def _arrays(kind: Callable[..., datasets.VisionDataset], folder: Path) -> Arrays:
    parts: list[np.ndarray] = []
    for train in (True, False):
        part = kind(folder, train=train)
        x = np.asarray(part.data)
        x = x[:, None] if x.ndim == 3 else np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        parts += [x, np.asarray(part.targets, np.int64)]
    return Arrays(parts[0], parts[1], parts[2], parts[3])


def _svhn_arrays(folder: Path) -> Arrays:
    parts: list[np.ndarray] = []
    for split in ("train", "test"):
        part = datasets.SVHN(folder, split=split)
        parts += [np.ascontiguousarray(part.data), part.labels]
    return Arrays(parts[0], parts[1], parts[2], parts[3])


def _has_size(n_bytes: int, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == n_bytes


def _has_md5(md5: str) -> Callable[[Path], bool]:
    return lambda path: datasets.utils.check_integrity(path, md5)
