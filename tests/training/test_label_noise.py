"""False labels: exactly as many as asked, in train and score alone, the same for every trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from reprtune.spec.task import TaskSpec
from reprtune.training.data.label_noise import noisy
from reprtune.training.data.memory import LIMIT
from reprtune.training.data.task import Task, load_task
from tests.training.images import make_folder

PARTS = ("train", "score", "val", "test")


def load(tmp_path: Path, dataset: str = "digits", **fields: object) -> Task:
    return load_task(TaskSpec(dataset=dataset, **fields), tmp_path, torch.device("cpu"))  # type: ignore[arg-type]


def n_false(one: Task, other: Task) -> list[int]:
    return [int((getattr(one, part).y != getattr(other, part).y).sum()) for part in PARTS]


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=80),
    shares=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)).map(sorted),
    seed=st.integers(0, 99),
)
def test_exactly_the_share_is_false_and_a_larger_one_holds_it(
    labels: list[int], shares: list[float], seed: int
) -> None:
    """round(share n) labels differ, all are classes; what is false at a share has the same label at a larger one."""
    y = np.array(labels, np.int64)
    few, many = (noisy(y, share, 4, seed, "train") for share in shares)
    for share, found in zip(shares, (few, many), strict=True):
        assert int((found != y).sum()) == round(share * len(y))
        assert found.dtype == np.int64 and found.min() >= 0 and found.max() < 4
    assert np.array_equal(many[few != y], few[few != y])
    assert y.tolist() == labels, "the given labels are left as they are"


def test_every_other_class_is_as_likely() -> None:
    """Of 8,000 false labels of each of 5 classes, the others' counts are those of even chances (chi-square, p > 0.001),
    and the share of each class that is false is that of all."""
    y = np.repeat(np.arange(5), 10_000)
    found = noisy(y, 0.8, 5, 3, "train")
    for true in range(5):
        counts = np.bincount(found[y == true], minlength=5)
        assert chisquare(np.delete(counts, true)).pvalue > 0.001
        assert abs(10_000 - counts[true] - 8000) < 4 * (10_000 * 0.8 * 0.2) ** 0.5


def test_val_and_test_keep_their_labels_and_all_parts_their_images(tmp_path: Path) -> None:
    """40 % of digits' 1,078 and 72 labels are 431 and 29; the images are the same ones, also with `train_images`."""
    clean, false = load(tmp_path), load(tmp_path, label_noise=0.4)
    assert n_false(clean, false) == [431, 29, 0, 0]
    assert all(torch.equal(getattr(clean, p).x, getattr(false, p).x) for p in PARTS)
    assert (clean.mean, clean.std) == (false.mean, false.std)
    some = (load(tmp_path, train_images=100, label_noise=share) for share in (0.0, 0.25))
    assert n_false(*some) == [25, 18, 0, 0]


def test_it_is_drawn_from_the_seed_of_the_split(tmp_path: Path) -> None:
    """Loaded twice it is the same; another seed makes another choice; the shares are in the digest, 0 as without."""
    y = np.zeros(1000, np.int64)
    one, other, score = (noisy(y, 0.5, 2, *a) for a in ((0, "train"), (1, "train"), (0, "score")))
    assert 350 < int((one != other).sum()) < 650 and 350 < int((one != score).sum()) < 650
    first, again = (load(tmp_path, label_noise=0.2) for _ in range(2))
    assert n_false(first, again) == [0, 0, 0, 0] and first.digest == again.digest
    assert len({first.digest, load(tmp_path).digest, load(tmp_path, label_noise=0.4).digest}) == 3


def test_folders_resident_or_streamed_have_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """36 images of 3 classes: 7 of val, 2 of score, 27 of train, of which round(13.5) = 14 and 1 are false."""
    name = f"imagefolder:{make_folder(tmp_path / 'mine')}"
    fields = {"image_size": 8, "label_noise": 0.5}
    resident, clean = load(tmp_path, name, **fields), load(tmp_path, name, image_size=8)
    monkeypatch.setenv(LIMIT, "0")
    streamed = load(tmp_path, name, **fields)
    assert isinstance(resident.train.x, torch.Tensor) and not isinstance(streamed.train.x, torch.Tensor)
    assert n_false(clean, resident) == n_false(clean, streamed) == [14, 1, 0, 0]
    assert n_false(resident, streamed) == [0, 0, 0, 0] and resident.digest == streamed.digest
