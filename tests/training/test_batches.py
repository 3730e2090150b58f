"""Batches, against torchvision's transforms on PIL images and a plain loop that cuts squares out."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from reprtune.errors import SpecError
from reprtune.spec.task import AUGMENTATIONS
from reprtune.training.data.augment import Augment
from reprtune.training.data.batches import Batches, evaluation_batches
from reprtune.training.data.pictures import Pictures
from reprtune.training.data.task import Part
from reprtune.training.platform.seeds import generator
from reprtune.training.platform.torchvision_import import datasets  # noqa: F401  torchvision becomes importable

CUTOUT = 3
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def part(n: int = 60, channels: int = 3, height: int = 7, width: int = 6) -> Part:
    draw = generator(0, "images")
    x = torch.randint(256, (n, channels, height, width), generator=draw, dtype=torch.uint8)
    return Part(x, torch.arange(n))  # the label is the image's number


def batches(images: Part, augment: str, batch_size: int = 16) -> Batches:
    return Batches(pictures(images, augment), batch_size)


def pictures(images: Part, augment: str, cutout: int = CUTOUT) -> Pictures:
    channels = images.x.shape[1]
    return Pictures(images, augment=augment, mean=MEAN[:channels], std=STD[:channels], cutout=cutout)


def by_torchvision(image: torch.Tensor, flip: bool, dy: int, dx: int, crop: bool) -> torch.Tensor:
    """What torchvision makes of one PIL image: mirror, pad by 4 and crop at (dy, dx), to tensor, normalise."""
    from torchvision.transforms import functional as transforms

    height, width = image.shape[1:]
    picture = transforms.to_pil_image(image)
    picture = transforms.hflip(picture) if flip else picture
    if crop:
        picture = transforms.crop(transforms.pad(picture, [4]), dy, dx, height, width)
    channels = len(image)
    return transforms.normalize(transforms.to_tensor(picture), MEAN[:channels], STD[:channels])


def with_hole(image: torch.Tensor, cy: int, cx: int, side: int = CUTOUT) -> torch.Tensor:
    """A square of `side` px around (cy, cx) set to 0, pixel by pixel; what lies outside is nobody's."""
    picture = image.numpy().copy()
    for row in range(cy - side // 2, cy - side // 2 + side):
        for column in range(cx - side // 2, cx - side // 2 + side):
            if 0 <= row < picture.shape[1] and 0 <= column < picture.shape[2]:
                picture[:, row, column] = 0
    return torch.from_numpy(picture)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_every_image_is_what_torchvision_makes_of_it(augment: str, channels: int) -> None:
    """Pixel for pixel, for each of the drawn mirrorings and corners of an epoch."""
    images = part(channels=channels)
    source = batches(images, augment)
    source.start_epoch(generator(1, "epoch"))
    for step in range(source.steps_per_epoch):
        rows = source.index(step)
        x, y = source.batch(step)
        corners = rows[1:3].T.tolist() if "crop" in augment else [[0, 0]] * 16
        centres = rows[-2:].T.tolist() if "cutout" in augment else [None] * 16
        for k, (dy, dx) in enumerate(corners):
            i, flip = int(rows[0, k]) % 60, int(rows[0, k]) >= 60
            assert int(y[k]) == i
            expected = by_torchvision(images.x[i], flip, dy, dx, "crop" in augment)
            expected = with_hole(expected, *centres[k]) if centres[k] else expected
            torch.testing.assert_close(x[k], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_batches_come_as_the_network_wants_them(augment: str) -> None:
    """float32, channels-last, labels int64, floor(60 / 16) = 3 batches of 16."""
    source = batches(part(), augment)
    source.start_epoch(generator(1, "epoch"))
    x, y = source.batch(2)
    assert source.steps_per_epoch == 3
    assert x.shape == (16, 3, 7, 6) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.shape == (16,) and y.dtype == torch.int64


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_a_batch_does_not_depend_on_what_was_fetched_before(augment: str) -> None:
    """Resuming in the middle of an epoch: batch 2 alone equals batch 2 after 0 and 1."""
    one, other = batches(part(), augment), batches(part(), augment)
    one.start_epoch(generator(1, "epoch"))
    other.start_epoch(generator(9, "another epoch"))
    other.start_epoch(generator(1, "epoch"))
    for step in range(3):
        expected = one.batch(step)
    for found, wanted in zip(other.batch(2), expected, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_an_epoch_shows_each_image_at_most_once_in_a_new_order(augment: str) -> None:
    """48 different images of 60, shuffled differently by another generator."""
    source = batches(part(), augment)
    orders = []
    for epoch in (0, 1):
        source.start_epoch(generator(epoch, "epoch"))
        orders.append(torch.cat([source.batch(step)[1] for step in range(3)]))
    assert all(len(order.unique()) == 48 for order in orders)
    assert not torch.equal(*orders)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_only_what_is_asked_for_is_drawn_and_uniformly(augment: str) -> None:
    """All 9 x 9 corners, both mirrorings and all 5 x 4 centres equally often (chi-squared, p > 0.001), or none."""
    n = 16_200  # 200 per corner
    images = Part(torch.zeros(n, 1, 5, 4, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64))
    source = batches(images, augment, batch_size=n)
    source.start_epoch(generator(2, "epoch"))
    rows = source.index(0)
    flips = torch.bincount(rows[0] // n, minlength=2)
    assert chisquare(flips).pvalue > 0.001 if "flip" in augment else flips.tolist() == [n, 0]
    assert len(rows) == 1 + 2 * ("crop" in augment) + 2 * ("cutout" in augment)
    if "crop" in augment:
        corners = torch.bincount(rows[1] * 9 + rows[2])
        assert len(corners) == 81 and chisquare(corners).pvalue > 0.001
    if "cutout" in augment:
        centres = torch.bincount(rows[-2] * 4 + rows[-1])
        assert len(centres) == 20 and chisquare(centres).pvalue > 0.001


@pytest.mark.parametrize("augment", ["none", "crop", "flip", "crop+flip"])
def test_cutout_changes_no_other_draw(augment: str) -> None:
    """Order, mirrorings and corners of an epoch are the same with and without squares cut out."""
    plain = batches(part(), augment)
    cut = batches(part(), "cutout" if augment == "none" else f"{augment}+cutout")
    for source in (plain, cut):
        source.start_epoch(generator(5, "epoch"))
    assert torch.equal(plain.index(1), cut.index(1)[:-2])


def test_the_draws_of_an_epoch_are_fixed() -> None:
    """The order, then mirrorings, then dy, then dx, then cy, then cx, from one generator."""
    source = batches(part(), "crop+flip+cutout", batch_size=60)
    source.start_epoch(generator(6, "epoch"))
    draw = generator(6, "epoch")
    order = torch.randperm(60, generator=draw)
    expected = [order + 60 * torch.randint(2, (60,), generator=draw)]
    expected += [torch.randint(bound, (60,), generator=draw) for bound in (9, 9, 7, 6)]
    assert torch.equal(source.index(0), torch.stack(expected))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_a_square_of_any_side_is_cut_out_where_the_image_has_it(side: int) -> None:
    """Around every centre of a 7 x 6 image, even and odd sides, against the loop."""
    centres = torch.cartesian_prod(torch.arange(7), torch.arange(6)).T
    images = torch.rand(42, 2, 7, 6, generator=generator(0, "images"))
    expected = [with_hole(x, *c, side) for x, c in zip(images, centres.T.tolist(), strict=True)]
    augment = Augment.of("cutout", side, (7, 6))
    assert torch.equal(augment.cut_out(images, centres), torch.stack(expected))


@pytest.mark.parametrize("cutout", [6, 8])
def test_a_square_as_large_as_the_image_is_an_error(cutout: int) -> None:
    """6 px is the shorter side of 7 x 6; without `cutout` the number does not matter."""
    with pytest.raises(SpecError, match=rf"task.cutout must be below .*, 6 px, but got {cutout}"):
        pictures(part(), "flip+cutout", cutout)
    pictures(part(), "flip", cutout)


def test_the_border_is_black_before_normalising() -> None:
    """A padded pixel has the value (0 - mean) / std, as RandomCrop before Normalize gives."""
    images = Part(torch.full((200, 3, 2, 2), 255, dtype=torch.uint8), torch.zeros(200, dtype=torch.int64))
    source = batches(images, "crop", batch_size=200)
    source.start_epoch(generator(3, "epoch"))
    x, _ = source.batch(0)
    outside = (source.index(0)[1:] == torch.tensor([[0], [0]])).all(0)
    assert outside.any()
    black = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)])
    torch.testing.assert_close(x[outside][0], black.reshape(3, 1, 1).expand(3, 2, 2))


def test_an_index_made_elsewhere_gives_the_same_batch() -> None:
    """`take` reads only the tensor it is given, so a captured step can be fed by copying into it."""
    source = batches(part(), "crop+flip+cutout")
    source.start_epoch(generator(4, "epoch"))
    fixed = torch.empty_like(source.index(0))
    fixed.copy_(source.index(1))
    assert source.resident
    assert torch.equal(source.take(fixed)[0], source.batch(1)[0])


def test_a_batch_larger_than_the_part_is_an_error() -> None:
    """The error names the field, the most it can be and the value."""
    with pytest.raises(SpecError, match=r"training.batch_size must be at most 60, .* but got 61"):
        batches(part(), "none", batch_size=61)


def test_evaluation_shows_every_image_in_order_unaugmented() -> None:
    """60 images in batches of 25: 25, 25, 10, normalised as torchvision does."""
    images = part()
    found = list(evaluation_batches(images, MEAN, STD, size=25))
    assert [len(y) for _, y in found] == [25, 25, 10]
    assert torch.equal(torch.cat([y for _, y in found]), images.y)
    expected = torch.stack([by_torchvision(x, False, 0, 0, crop=False) for x in images.x])
    torch.testing.assert_close(torch.cat([x for x, _ in found]), expected, rtol=0, atol=2e-6)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in found)


def test_large_images_are_evaluated_in_smaller_batches() -> None:
    """A thousand of 64 px and less; of 128 px a quarter as many."""
    for side, n in ((8, 1000), (64, 1000), (128, 250)):
        images = Part(
            torch.zeros(1001, 1, side, side, dtype=torch.uint8), torch.zeros(1001, dtype=torch.int64)
        )
        assert len(next(evaluation_batches(images, [0.5], [1.0]))[1]) == n
