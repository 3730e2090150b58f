"""The pictures that batches are drawn from: once per task, whatever batch sizes, and no copy beside them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reprtune.spec.task import AUGMENTATIONS
from reprtune.training.data.pictures import PIECE, Pictures
from reprtune.training.data.task import Part
from reprtune.training.platform.seeds import generator
from tests.training.tiny import LOADED_DATA, spec

MEAN, STD = [0.5] * 3, [0.25] * 3


def part(n: int) -> Part:
    """Random images of 2 x 3 px; the label is the image's number."""
    x = torch.randint(256, (n, 3, 2, 3), generator=generator(0, "images"), dtype=torch.uint8)
    return Part(x, torch.arange(n))


class Allocations(TorchDispatchMode):
    """Storages that operations return and did not get.

    Attributes:
        n_bytes: of each, by its address.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes: dict[int, int] = {}
        self.kept: list[Tensor] = []  # so that no address is used twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self.kept.append(tensor)
                self.n_bytes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return result


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_pictures_are_stored_with_their_mirror_images_and_a_black_border(augment: str) -> None:
    """Image i in row i, mirrored in row N + i, 4 px of 0 around it where it is cropped; across pieces too."""
    n = PIECE + 5
    images = part(n)
    stored = Pictures(images, augment=augment, mean=MEAN, std=STD, cutout=1).stored
    pad, copies = 4 * ("crop" in augment), 1 + ("flip" in augment)
    expected = torch.zeros(copies * n, 2 + 2 * pad, 3 + 2 * pad, 3, dtype=torch.uint8)
    for row in range(copies * n):
        picture = images.x[row % n].flip(2) if row >= n else images.x[row % n]
        expected[row, pad : pad + 2, pad : pad + 3] = picture.movedim(0, 2)
    assert stored is not None and stored.is_contiguous() and torch.equal(stored, expected)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_nothing_large_is_made_beside_what_is_stored(augment: str) -> None:
    """Of 4 pieces of images: each other tensor has the bytes of one piece at most (or the labels')."""
    images = part(4 * PIECE)
    with Allocations() as made:
        stored = Pictures(images, augment=augment, mean=MEAN, std=STD, cutout=1).stored
    assert stored is not None
    own = made.n_bytes.pop(stored.untyped_storage().data_ptr())
    assert own == stored.nbytes
    labels = 2 * images.y.nbytes
    assert all(n <= PIECE * 3 * 2 * 3 or n == labels for n in made.n_bytes.values()), made.n_bytes


def test_batch_sizes_share_the_pictures_of_a_task() -> None:
    """One storage for two sizes, and trials of one size share their batches; another augmentation has its own."""
    small, large = (
        LOADED_DATA.batches(spec(**{"training.batch_size": n, "task.augment": "crop"})) for n in (16, 32)
    )
    assert small is not large and small.pictures is large.pictures
    again = LOADED_DATA.batches(
        spec(**{"training.batch_size": 16, "task.augment": "crop", "training.lr": 0.1})
    )
    assert again is small
    other = LOADED_DATA.batches(spec(**{"task.augment": "flip"}))
    assert small.pictures.stored is not None and other.pictures.stored is not None
    assert small.pictures.stored.data_ptr() != other.pictures.stored.data_ptr()


def test_batch_sizes_that_share_pictures_draw_on_their_own() -> None:
    """An epoch begun by one leaves the epoch of the other as it was, and gives the images that its own would."""
    trials = [spec(**{"training.batch_size": n, "task.augment": "crop+flip"}) for n in (16, 32)]
    small, large = (LOADED_DATA.batches(trial) for trial in trials)
    small.start_epoch(generator(1, "epoch"))
    expected = [t.clone() for t in small.batch(1)]
    large.start_epoch(generator(2, "epoch"))
    assert all(torch.equal(a, b) for a, b in zip(small.batch(1), expected, strict=True))
    large.start_epoch(generator(1, "epoch"))
    assert torch.equal(large.batch(0)[0][16:], expected[0])
