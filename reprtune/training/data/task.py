"""A data set on the device, in its four fixed parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reprtune.errors import DataError, SpecError
from reprtune.spec import catalog
from reprtune.spec.codec import canonical_json
from reprtune.spec.task import TaskSpec
from reprtune.training.data.arrays import Arrays, digest
from reprtune.training.data.files import ImageFiles
from reprtune.training.data.imagefolder import Folder
from reprtune.training.data.label_noise import noisy
from reprtune.training.data.split import stratified

Indices = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Part:
    """Images x: uint8, N x C x H x W, on the training device, or files that are decoded when they are needed;
    labels y: int64, N, on the training device."""

    x: Tensor | ImageFiles
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def select(self, rows: Tensor) -> Part:
        """Images `rows` (int64, on the CPU), in this order."""
        x = self.x[rows.to(self.x.device)] if isinstance(self.x, Tensor) else self.x.select(rows.numpy())
        return Part(x, self.y[rows.to(self.y.device)])


@dataclass(frozen=True, eq=False)
class Task:
    """What is learned.

    Attributes:
        train, score, val, test: disjoint parts; score is for data-driven criteria. Labels of the first two are
            false where the specification asks for it (`label_noise`), those of the others never.
        mean, std: per channel, of the train part, in pixel values / 255;
            a constant channel has std 1, so that it is only centred.
        digest: hex SHA-256 of the pixels (of a folder, of its files), the labels, the fields of the split
            and the split itself; resident or streamed makes no difference.
        input_shape: C, H, W.
    """

    train: Part
    score: Part
    val: Part
    test: Part
    n_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    input_shape: tuple[int, int, int]


def load_task(spec: TaskSpec, data_dir: Path, device: torch.device) -> Task:
    """Load the data set of `spec` and split its official training images.

    Raises:
        DataError: the data set is absent, incomplete or of another form, or too small to split.
        SpecError: `task.train_images` is more than the train part has.
    """
    entry = catalog.find("datasets", spec.dataset)
    load = catalog.resolve("datasets", spec.dataset)
    options = {"image_size": spec.image_size} if "image_size" in entry.fields else {}
    loaded: Arrays | Folder = load(catalog.argument("datasets", spec.dataset), data_dir, **options)
    indices = split(loaded.y_train, spec)
    if isinstance(loaded, Folder):
        return _of_folder(loaded, spec, indices, device)
    return _of_arrays(loaded, spec, indices, device)


def _of_arrays(arrays: Arrays, spec: TaskSpec, indices: Indices, device: torch.device) -> Task:
    def part(x: np.ndarray, y: np.ndarray) -> Part:
        return Part(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device))

    x, labels = arrays.x_train, _labels(arrays.y_train, indices, spec, arrays.n_classes)
    train, score, val = (part(x[rows], y) for rows, y in zip(indices, labels, strict=True))
    mean, std = channel_statistics(x[indices[0]])
    channels, height, width = x.shape[1:]
    return Task(
        train=train,
        score=score,
        val=val,
        test=part(arrays.x_test, arrays.y_test),
        n_classes=arrays.n_classes,
        mean=mean,
        std=std,
        digest=_task_digest(digest(arrays), spec, indices, labels),
        input_shape=(channels, height, width),
    )


def _of_folder(folder: Folder, spec: TaskSpec, indices: Indices, device: torch.device) -> Task:
    """Resident where all of it fits, else streamed."""
    resident = folder.fits(device, spec.augment)
    labels = _labels(folder.y_train, indices, spec, folder.n_classes)
    tested = np.arange(folder.listing.n_train, len(folder.listing.files))

    def part(rows: np.ndarray, y: np.ndarray) -> Part:
        return Part(folder.images(rows, device, resident=resident), torch.from_numpy(y).to(device))

    train, score, val, test = (
        part(rows, y) for rows, y in zip((*indices, tested), (*labels, folder.y_test), strict=True)
    )
    folder.forget()
    mean, std = folder.statistics(indices[0])
    return Task(
        train=train,
        score=score,
        val=val,
        test=test,
        n_classes=folder.n_classes,
        mean=mean,
        std=std,
        digest=_task_digest(folder.digest, spec, indices, labels),
        input_shape=folder.shape,
    )


def _labels(labels: np.ndarray, indices: Indices, spec: TaskSpec, n_classes: int) -> list[np.ndarray]:
    """Of train, score and val; noise comes after the split, which is by the true classes."""
    shares = {"train": spec.label_noise, "score": spec.label_noise, "val": 0.0}
    return [
        noisy(labels[rows], share, n_classes, spec.split_seed, name)
        for rows, (name, share) in zip(indices, shares.items(), strict=True)
    ]


def split(labels: np.ndarray, spec: TaskSpec) -> Indices:
    """Indices of train, score and val among the official training images.

    score and val have round(share * n) images, at least one, and do not depend on `train_images`. train and
    val are sorted, score is shuffled: criteria that average over neighbours must not see one class at a time,
    as a folder of classes is sorted.
    """
    n = len(labels)
    sizes = [max(1, round(share * n)) for share in (spec.score_frac, spec.val_frac)]
    left = n - sum(sizes)
    if left < 1:
        raise DataError(
            f"task.score_frac = {spec.score_frac} and task.val_frac = {spec.val_frac} leave no image "
            f"to train on, out of {n}.",
            "Lower them, or take more images.",
        )
    rng = np.random.default_rng(spec.split_seed)
    score, val, train = stratified(labels, sizes, rng)
    score = np.random.default_rng([spec.split_seed, 1]).permutation(score)
    if spec.train_images is None:
        return train, score, val
    if spec.train_images > left:
        raise SpecError(
            f"task.train_images must be at most {left}, the size of the train part, "
            f"but got {spec.train_images}.",
            "Lower it, or leave it out to use them all.",
        )
    some, _ = stratified(labels[train], [spec.train_images], rng)
    return train[some], score, val


def channel_statistics(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 N x C x H x W, in pixel values / 255.

    From histograms of whole numbers: exact, and in little memory.
    """
    levels = np.arange(256)
    means, stds = [], []
    for channel in range(x.shape[1]):
        counts = np.zeros(256, np.int64)
        for start in range(0, len(x), 1000):
            counts += np.bincount(x[start : start + 1000, channel].ravel(), minlength=256)
        mean = float(counts @ levels) / counts.sum()
        std = float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()))
        means.append(float(mean / 255))
        stds.append(std / 255 if std > 0 else 1.0)
    return tuple(means), tuple(stds)


def _task_digest(data_digest: str, spec: TaskSpec, indices: Indices, labels: list[np.ndarray]) -> str:
    """The indices, and the labels where some are false, are in it because numpy may draw them differently one day."""
    fields = {f: getattr(spec, f) for f in ("train_images", "score_frac", "val_frac", "split_seed")}
    whole = hashlib.sha256(f"{data_digest} {canonical_json(fields)}".encode())
    for part in indices:
        whole.update(f" {len(part)}:".encode())
        whole.update(part.astype("<i8").tobytes())
    if spec.label_noise > 0:
        whole.update(b" label_noise")
        for y in labels:
            whole.update(y.astype("<i8").tobytes())
    return whole.hexdigest()
