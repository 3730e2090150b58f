"""Folders of image files: what is accepted, what the pixels are, and what is remembered of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reprtune.errors import DataError
from reprtune.training.data import imagefolder
from reprtune.training.data.files import as_rgb, scaled
from reprtune.training.data.imagefolder import Folder, load
from reprtune.training.platform.torchvision_import import datasets, transforms
from tests.training.images import CLASSES, make_folder, picture, save

CPU = torch.device("cpu")


def loaded(root: Path, side: int = 8) -> Folder:
    return load(str(root), root.parent / "data", image_size=side)


def pixels(folder: Folder) -> np.ndarray:
    """All images, uint8 (N, C, H, W)."""
    every = np.arange(len(folder.listing.files))
    return folder.images(every, CPU, resident=True).numpy()


def test_images_and_labels_are_those_of_torchvisions_imagefolder(tmp_path: Path) -> None:
    """The same files in the same order, resized by the shorter side and cut in the middle, to the pixel."""
    folder = loaded(make_folder(tmp_path / "mine"))
    steps = transforms.Compose([transforms.Resize(8, antialias=True), transforms.CenterCrop(8)])
    expected, labels = [], []
    for part in ("train", "test"):
        oracle = datasets.ImageFolder(tmp_path / "mine" / part, transform=steps)
        assert tuple(oracle.classes) == folder.listing.classes == CLASSES
        expected += [np.asarray(x).transpose(2, 0, 1) for x, _ in oracle]
        labels += oracle.targets
    assert np.array_equal(pixels(folder), np.stack(expected))
    assert [*folder.y_train, *folder.y_test] == labels
    assert len(folder.y_train) == 36 and folder.shape == (3, 8, 8) and folder.n_classes == 3


def test_images_are_224_px_unless_said_otherwise(tmp_path: Path) -> None:
    """The usual size of networks for photographs."""
    assert load(str(make_folder(tmp_path / "mine", 1, 1)), tmp_path / "data").shape == (3, 224, 224)


def test_statistics_are_those_of_the_decoded_pixels(tmp_path: Path) -> None:
    """Against numpy in float64 on some of the images; a constant channel has std 1."""
    folder = loaded(make_folder(tmp_path / "mine"))
    rows = np.array([0, 3, 17, 20])
    x = pixels(folder)[rows].astype(np.float64) / 255
    mean, std = folder.statistics(rows)
    assert mean == pytest.approx(x.mean((0, 2, 3)), abs=1e-12)
    assert std == pytest.approx(x.std((0, 2, 3)), abs=1e-12)
    flat = tmp_path / "flat"
    for part, name in ((p, n) for p in ("train", "test") for n in "ab"):
        save(flat / part / name / "1.png", np.full((9, 9, 3), 51, np.uint8))
    assert loaded(flat).statistics(np.arange(2)) == (pytest.approx((0.2,) * 3), (1.0,) * 3)


def test_val_is_the_test_part_only_where_there_is_no_test(tmp_path: Path) -> None:
    """With both, val/ is left alone."""
    root = make_folder(tmp_path / "mine", test="val")
    assert loaded(root).listing.test_name == "val" and len(loaded(root).y_test) == 6
    make_folder(root, n_test=1)
    assert loaded(root).listing.test_name == "test" and len(loaded(root).y_test) == 3


def test_folders_below_a_class_count_and_hidden_and_other_files_do_not(tmp_path: Path) -> None:
    """An image of a subfolder is of its class; `.cache`, `._1.png` and notes.txt are nothing; capitals are an image."""
    root = make_folder(tmp_path / "mine", 1, 1)
    save(root / "train" / "bee" / "more" / "1.png", picture(1))
    (root / "train" / "bee" / "more" / "1.png").rename(root / "train" / "bee" / "more" / "1.PNG")
    save(root / "train" / ".cache" / "1.png", picture(2))
    (root / "train" / "bee" / "._1.png").write_bytes(b"")
    (root / "train" / "bee" / "notes.txt").write_text("mine")
    assert loaded(root).y_train.tolist() == [0, 1, 1, 2]


def test_a_relative_folder_is_found_in_the_data_folder(tmp_path: Path) -> None:
    """As with npz: here first, then there; else both are named."""
    make_folder(tmp_path / "data" / "mine", 1, 1)
    assert load("mine", tmp_path / "data", image_size=8).n_classes == 3
    with pytest.raises(DataError, match=rf"no folder .*none or {tmp_path / 'data' / 'none'}"):
        load("none", tmp_path / "data")


def remove(path: str) -> Callable[[Path], object]:
    return lambda root: shutil.rmtree(root / path)


def empty(path: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        for file in (root / path).iterdir():
            file.unlink()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("train"), "There is no folder .*train"),
        (remove("test"), "There is no folder .*test"),
        (remove("test/bee"), "same classes, but 'bee' is only in train"),
        (remove("train/bee"), "same classes, but 'bee' is only in test"),
        (empty("train/bee"), "Every class must have an image, but .*train/bee has none"),
        (empty("test/cow"), "Every class must have an image, but .*test/cow has none"),
        (lambda root: [remove(f"{p}/{c}")(root) for p in ("train", "test") for c in CLASSES], "has none"),
        (
            lambda root: [remove(f"{p}/{c}")(root) for p in ("train", "test") for c in CLASSES[1:]],
            "at least 2 classes, but has only 'ant'",
        ),
    ],
    ids=[
        "train",
        "test",
        "class of test",
        "class of train",
        "no images",
        "no test images",
        "no classes",
        "one class",
    ],
)
def test_another_layout_is_refused_by_name(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    """The error says which folder breaks which rule, and the hint how it should be."""
    root = make_folder(tmp_path / "mine", 1, 1)
    change(root)
    with pytest.raises(DataError, match=message) as error:
        loaded(root)
    assert error.value.hint


def test_files_that_are_no_whole_images_are_named(tmp_path: Path) -> None:
    """Text, nothing at all, and half a file of each format: three by name, the others counted; nothing is stored."""
    root = make_folder(tmp_path / "mine", 3, 1)
    ant = root / "train" / "ant"
    (ant / "000.png").write_text("not an image")
    (ant / "001.jpg").write_bytes(b"")
    for i, suffix in enumerate(("png", "jpg", "bmp")):
        whole = root / "train" / "bee" / f"00{i}.{suffix}"
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DataError, match="5 of 12 images cannot be used") as error:
        loaded(root)
    for text in ("ant/000.png cannot be read", "ant/001.jpg cannot be read", "it is empty", "And 2 more"):
        assert text in error.value.message
    assert not list((tmp_path / "data").rglob("*.npz"))


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GREY), np.stack([GREY] * 3, -1)),
        (Image.fromarray(np.dstack([GREY, GREY // 2])), np.stack([GREY] * 3, -1)),
        (
            Image.fromarray(np.dstack([GREY, GREY // 2, GREY // 4, GREY])),
            np.dstack([GREY, GREY // 2, GREY // 4]),
        ),
        (Image.fromarray(GREY.astype(np.uint16) * 257), np.stack([GREY] * 3, -1)),
        (Image.fromarray(GREY.astype(np.int32) * 257), np.stack([GREY] * 3, -1)),
        (Image.fromarray(GREY > 100), np.stack([(GREY > 100) * np.uint8(255)] * 3, -1)),
        (Image.new("CMYK", (4, 3), (255, 0, 0, 0)), np.full((3, 4, 3), (0, 255, 255), np.uint8)),
    ],
    ids=["grey", "grey+alpha", "alpha", "16 bits", "32 bits", "1 bit", "CMYK"],
)
def test_other_kinds_of_images_become_rgb(image: Image.Image, expected: np.ndarray) -> None:
    """Grey is repeated, transparency dropped, 16 bits divided by 257, cyan is no red."""
    assert np.array_equal(np.asarray(as_rgb(image)), expected)


def test_a_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    """Written to a file and read again, without a warning of Pillow's."""
    image = Image.fromarray(picture(3) // 128 * 128).convert("P", palette=Image.Palette.ADAPTIVE)
    colours = np.asarray(image.convert("RGB"))
    image.save(tmp_path / "a.png", transparency=bytes(range(8)))
    with Image.open(tmp_path / "a.png") as read:
        assert np.array_equal(np.asarray(as_rgb(read)), colours)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    """Nobody knows their range."""
    root = make_folder(tmp_path / "mine", 1, 1)
    Image.fromarray(np.ones((9, 9), np.float32)).save(root / "train" / "ant" / "a.tif")
    with pytest.raises(DataError, match=r"a.tif .* floating-point"):
        loaded(root)


@pytest.mark.parametrize("size", [(3, 90), (90, 3), (8, 8), (5, 5)])
def test_every_shape_becomes_the_square(size: tuple[int, int]) -> None:
    """Wide, high, exact and small images: 8 x 8."""
    assert scaled(Image.new("RGB", size), 8).size == (8, 8)


def test_the_digest_is_of_contents_classes_and_size(tmp_path: Path) -> None:
    """The same files elsewhere are the same data; a byte, a class name, an image's class or a size is not."""
    root = make_folder(tmp_path / "mine", 2, 1)
    base = loaded(root).digest
    shutil.copytree(root, tmp_path / "copy")
    assert loaded(tmp_path / "copy").digest == base
    assert loaded(root, side=9).digest != base
    changes: list[Callable[[Path], object]] = [
        lambda copy: save(copy / "train" / "ant" / "000.png", picture(999)),
        lambda copy: [(copy / p / "cow").rename(copy / p / "dog") for p in ("train", "test")],
        lambda copy: (copy / "train" / "ant" / "001.jpg").rename(copy / "train" / "bee" / "0.jpg"),
        lambda copy: (
            (copy / "test" / "ant" / "002.bmp").rename(copy / "train" / "ant" / "2.bmp")
            and save(copy / "test" / "ant" / "002.bmp", picture(1))
        ),
    ]
    digests = {base}
    for i, change in enumerate(changes):
        shutil.copytree(root, tmp_path / f"other{i}")
        change(tmp_path / f"other{i}")
        digests.add(loaded(tmp_path / f"other{i}").digest)
    assert len(digests) == 5


def test_only_new_and_changed_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By path, size and time; the digest is that of a folder seen for the first time."""
    root = make_folder(tmp_path / "mine", 2, 1)
    assert not loaded(root).known and loaded(root).known
    save(root / "train" / "bee" / "9.png", picture(9))
    os.utime(root / "train" / "ant" / "000.png", ns=(1, 1))
    read: list[int] = []
    folder = load(
        str(root), tmp_path / "data", image_size=8, progress=lambda _text, _done, total: read.append(total)
    )
    assert read == [2] and not folder.known
    assert folder.digest == load(str(root), tmp_path / "other data", image_size=8).digest


@pytest.mark.parametrize("damage", [b"", b"PK", b"not an archive"])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: bytes) -> None:
    """It is as good as none."""
    root = make_folder(tmp_path / "mine", 1, 1)
    folder = loaded(root)
    (folder.home / "index.npz").write_bytes(damage)
    again = loaded(root)
    assert not again.known and again.digest == folder.digest and loaded(root).known


def test_a_data_folder_that_cannot_be_written_to_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are looked at every time, and nothing is written."""
    root = make_folder(tmp_path / "mine", 1, 1)
    monkeypatch.setattr(imagefolder, "writable", lambda _folder: False)
    assert loaded(root).digest == loaded(root).digest
    assert not (tmp_path / "data").exists()
