"""The four parts of a task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reprtune.errors import DataError, SpecError
from reprtune.spec.task import TaskSpec
from reprtune.training.data.split import stratified
from reprtune.training.data.task import Task, channel_statistics, load_task, split

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
IMAGES = {
    "x_train": RNG.integers(0, 256, (1000, 3, 6, 5), dtype=np.uint8),
    "y_train": np.repeat(np.arange(4), [400, 300, 200, 100]),
    "x_test": RNG.integers(0, 256, (8, 3, 6, 5), dtype=np.uint8),
    "y_test": np.arange(8) % 4,
}


def task(folder: Path, images: dict[str, np.ndarray] = IMAGES, name: str = "a.npz", **fields: object) -> Task:
    np.savez(folder / name, **images)
    return load_task(TaskSpec(dataset=f"npz:{folder / name}", **fields), folder, CPU)  # type: ignore[arg-type]


@given(
    labels=st.lists(st.integers(0, 4), min_size=5, max_size=60).map(lambda e: [0, 1, 2, 3, 4, *e]),
    shares=st.tuples(st.floats(0.01, 0.5), st.floats(0.01, 0.5)),
    seed=st.integers(0, 5),
)
def test_parts_are_disjoint_exact_in_size_and_proportional(
    labels: list[int], shares: tuple[float, float], seed: int
) -> None:
    """Every image is in one part; sizes are as asked; the first part has each class to within one."""
    y = np.array(labels)
    sizes = [int(share * len(y)) for share in shares]
    parts = stratified(y, sizes, np.random.default_rng(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    assert [len(p) for p in parts] == [*sizes, len(y) - sum(sizes)]
    for part, size in zip(parts[:2], sizes, strict=True):
        exact = np.bincount(y) * size / len(y)
        counts = np.bincount(y[part], minlength=5)
        assert np.all(counts >= np.minimum(np.floor(exact), np.bincount(y)))
        assert np.all(counts <= np.floor(exact) + (1 if part is parts[0] else 5))


def test_whole_shares_are_met_exactly_in_every_class() -> None:
    """Of 400, 300, 200 and 100 images 5 % and 20 % are whole numbers, so nothing is rounded."""
    train, score, val = split(IMAGES["y_train"], TaskSpec())
    counts = [np.bincount(IMAGES["y_train"][part]).tolist() for part in (train, score, val)]
    assert counts == [[300, 225, 150, 75], [20, 15, 10, 5], [80, 60, 40, 20]]


def test_remainders_go_to_the_largest_first() -> None:
    """10 of 15, 11 and 6 images: quotas 4.6875, 3.4375, 1.875, so 5, 3, 2 by hand."""
    y = np.repeat([0, 1, 2], [15, 11, 6])
    first, _ = stratified(y, [10], np.random.default_rng(0))
    assert np.bincount(y[first]).tolist() == [5, 3, 2]


def test_the_split_is_fixed_by_its_seed_and_random_within_classes() -> None:
    """The same seed gives the same images, another seed others; not simply the first of each class."""
    y = IMAGES["y_train"]
    first, again, other = (split(y, TaskSpec(split_seed=s)) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[2], other[2])
    assert not np.array_equal(first[2][:80], np.arange(80))


def test_the_score_part_is_not_in_the_order_of_classes() -> None:
    """Images that come class by class are shuffled there: every ten of it are of several classes."""
    y = np.repeat(np.arange(4), 100)
    _, score, val = split(y, TaskSpec(score_frac=0.2))
    assert all(len(set(y[score[i : i + 10]])) > 1 for i in range(0, 80, 10))
    assert np.array_equal(val, np.sort(val)) and len(set(score)) == 80


def test_fewer_training_images_leave_score_val_and_test_alone(tmp_path: Path) -> None:
    """`train_images` takes a stratified subset of the train part, and nothing else changes."""
    whole, some = task(tmp_path), task(tmp_path, train_images=100)
    assert len(whole.train) == 750 and len(some.train) == 100
    assert torch.bincount(some.train.y).tolist() == [40, 30, 20, 10]
    rows = {x.numpy().tobytes() for x in whole.train.x}
    assert all(x.numpy().tobytes() in rows for x in some.train.x)
    for part in ("score", "val", "test"):
        assert torch.equal(getattr(whole, part).x, getattr(some, part).x)
    assert torch.equal(task(tmp_path, train_images=750).train.x, whole.train.x)


def test_more_training_images_than_there_are_is_an_error(tmp_path: Path) -> None:
    """The error names the field, the most it can be and the value."""
    with pytest.raises(SpecError, match=r"task.train_images must be at most 750, .* but got 751"):
        task(tmp_path, train_images=751)


def test_parts_that_leave_nothing_to_train_on_are_an_error(tmp_path: Path) -> None:
    """Two halves leave no third part."""
    with pytest.raises(DataError, match=r"task.score_frac = 0.5 and task.val_frac = 0.5 leave no image"):
        task(tmp_path, score_frac=0.5, val_frac=0.5)


def test_images_and_labels_stay_together(tmp_path: Path) -> None:
    """With the label written into the pixels, every part still reads its labels there."""
    y = IMAGES["y_train"]
    marked = np.broadcast_to(y[:, None, None, None], (1000, 3, 6, 5)).astype(np.uint8)
    result = task(tmp_path, {**IMAGES, "x_train": marked})
    for part in (result.train, result.score, result.val):
        assert torch.equal(part.x[:, 0, 0, 0].long(), part.y)
    assert np.array_equal(result.test.x.numpy(), IMAGES["x_test"])
    assert result.input_shape == (3, 6, 5) and result.n_classes == 4
    assert result.train.x.dtype == torch.uint8 and result.train.y.dtype == torch.int64


def test_mean_and_std_are_those_of_the_train_part_alone(tmp_path: Path) -> None:
    """Against numpy in float64, in pixel values / 255; images of other parts do not count."""
    result = task(tmp_path)
    pixels = result.train.x.numpy().astype(np.float64) / 255
    assert result.mean == pytest.approx(pixels.mean((0, 2, 3)), abs=1e-12)
    assert result.std == pytest.approx(pixels.std((0, 2, 3)), abs=1e-12)


def test_a_constant_channel_is_only_centred() -> None:
    """Its std is taken as 1, where 0 would divide by zero; an image is counted past the first 1000."""
    x = np.zeros((1500, 2, 2, 2), np.uint8)
    x[:, 0] = 51
    x[750:, 1] = 255
    mean, std = channel_statistics(x)
    assert mean == pytest.approx((0.2, 0.5)) and std == pytest.approx((1.0, 0.5))


def test_the_digest_is_of_the_data_and_the_split_and_not_of_the_name(tmp_path: Path) -> None:
    """The same images under another name or augmentation are the same task; one pixel, or another split, is not."""
    base = task(tmp_path).digest
    assert task(tmp_path, name="b.npz").digest == base
    assert task(tmp_path, augment="flip").digest == base
    pixel = IMAGES["x_test"].copy()
    pixel[3, 1, 2, 2] ^= 1
    others = [
        task(tmp_path, {**IMAGES, "x_test": pixel}).digest,
        task(tmp_path, split_seed=1).digest,
        task(tmp_path, train_images=700).digest,
        task(tmp_path, val_frac=0.1).digest,
        task(tmp_path, score_frac=0.1).digest,
    ]
    assert len({base, *others}) == 6


def test_the_embedded_digits_make_a_task(tmp_path: Path) -> None:
    """1,438 official training images: 72 score, 288 val, 1,078 train; 359 test."""
    result = load_task(TaskSpec(), tmp_path, CPU)
    sizes = [len(p) for p in (result.train, result.score, result.val, result.test)]
    assert sizes == [1078, 72, 288, 359]
    assert result.input_shape == (1, 8, 8) and result.n_classes == 10
    assert replace(result).digest == load_task(TaskSpec(), tmp_path, CPU).digest


def test_real_images_from_one_file(shared_data: Path, tmp_path: Path) -> None:
    """CIFAR-10's first 1,017 test images as a task of their own: class counts as published with them."""
    with np.load(shared_data / "cifar10-test-first1017.npz") as archive:
        x, y = archive["x_test"], archive["y_test"]
    assert np.bincount(y).tolist() == [105, 93, 100, 104, 92, 87, 114, 102, 110, 110]
    result = task(tmp_path, {"x_train": x, "y_train": y, "x_test": x[:10], "y_test": y[:10]})
    assert [len(result.train), len(result.score), len(result.val)] == [763, 51, 203]
    assert result.mean == pytest.approx((0.49, 0.48, 0.45), abs=0.02)
