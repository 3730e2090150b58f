"""Arrays, the embedded digits and a person's own .npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from reprtune.errors import DataError
from reprtune.training.data import digits, npz
from reprtune.training.data.arrays import Arrays, digest

GOOD = {
    "x_train": np.arange(6 * 3 * 4 * 5, dtype=np.uint8).reshape(6, 3, 4, 5),
    "y_train": np.array([0, 1, 2, 0, 1, 2]),
    "x_test": np.ones((2, 3, 4, 5), np.uint8),
    "y_test": np.array([2, 0]),
}

BAD = [
    ({"x_train": GOOD["x_train"].astype(np.float32)}, "x_train must be uint8 .* but is float32"),
    ({"x_test": GOOD["x_test"].astype(np.int64)}, "x_test must be uint8 .* but is int64"),
    ({"x_train": GOOD["x_train"][0]}, "x_train must be N x C x H x W, but has the shape 3 x 4 x 5"),
    ({"x_test": GOOD["x_test"][:0]}, "x_test must not be empty"),
    ({"x_test": GOOD["x_test"][:, :1]}, "same C x H x W, but got 3 x 4 x 5 and 1 x 4 x 5"),
    ({"y_train": GOOD["y_train"][:5]}, "y_train must hold one label for each of 6 images, but is 5"),
    ({"y_train": GOOD["y_train"].astype(np.float64)}, "y_train must be int64, but is float64"),
    ({"y_train": GOOD["y_train"] - 1}, "y_train must hold classes 0..K-1, but got -1"),
    ({"y_train": GOOD["y_train"] * 2}, "class 1 has none"),
    ({"y_train": GOOD["y_train"] * 0}, "at least 2 classes"),
    ({"y_test": np.array([3, 0])}, r"y_test must hold only classes of y_train \(0..2\), but got 3"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[m for _, m in BAD])
def test_arrays_of_another_form_are_refused_by_name(change: dict[str, np.ndarray], message: str) -> None:
    """The error names the array, the rule and what was found."""
    with pytest.raises(DataError, match=message):
        Arrays(**{**GOOD, **change})


def test_the_number_of_classes_is_that_of_the_training_labels() -> None:
    """Three classes in training are three classes, though the test images show two."""
    assert Arrays(**GOOD).n_classes == 3


@pytest.mark.parametrize("name", GOOD)
def test_the_digest_changes_with_any_number(name: str) -> None:
    """One pixel or one label makes another data set; equal arrays in another memory order do not."""
    whole = digest(Arrays(**GOOD))
    assert whole == digest(Arrays(**{**GOOD, "x_train": np.asfortranarray(GOOD["x_train"])}))
    other = GOOD[name].copy()
    other[0] = (other[0] + 1) % 3
    assert digest(Arrays(**{**GOOD, name: other})) != whole


def test_the_digest_tells_shapes_apart() -> None:
    """The same bytes as 4 x 5 and as 5 x 4 pixels are two data sets."""
    turned = {k: v.reshape(len(v), 3, 5, 4) if v.ndim == 4 else v for k, v in GOOD.items()}
    assert digest(Arrays(**turned)) != digest(Arrays(**GOOD))


def test_digits_are_scikit_learns_with_grey_levels_spread_to_0_255() -> None:
    """Every image is there once, level v as the nearest whole number to 255 v / 16."""
    arrays = digits.load("", Path("nowhere"))
    images, labels = load_digits(return_X_y=True)
    level = {v: round(v * 255 / 16) for v in range(17)}
    assert (level[0], level[1], level[8], level[16]) == (0, 16, 128, 255)
    expected = sorted((int(y), tuple(level[int(v)] for v in x)) for x, y in zip(images, labels, strict=True))
    found = sorted(
        (int(y), tuple(x.ravel().tolist()))
        for xs, ys in ((arrays.x_train, arrays.y_train), (arrays.x_test, arrays.y_test))
        for x, y in zip(xs, ys, strict=True)
    )
    assert found == expected


def test_a_fifth_of_the_digits_is_kept_for_the_test_evenly_over_classes() -> None:
    """359 of 1,797 images, each class within one image of its fifth, the same ones every time."""
    arrays = digits.load("", Path("nowhere"))
    assert len(arrays.y_test) == 359 and len(arrays.y_train) == 1438
    _, labels = load_digits(return_X_y=True)
    assert np.all(np.abs(np.bincount(arrays.y_test) - np.bincount(labels) * 359 / 1797) < 1)
    assert digest(arrays) == digest(digits.load("", Path("elsewhere")))


def test_npz_reads_the_four_arrays(tmp_path: Path) -> None:
    """Pixels as they are; labels of any whole-number type; other arrays in the file do not matter."""
    file = tmp_path / "mine.npz"
    np.savez(file, **{**GOOD, "y_train": GOOD["y_train"].astype(np.uint8)}, note=np.array(["text"]))
    arrays = npz.load(str(file), tmp_path)
    assert np.array_equal(arrays.x_train, GOOD["x_train"])
    assert np.array_equal(arrays.y_train, GOOD["y_train"])
    assert arrays.y_train.dtype == np.int64


def test_npz_takes_grey_images_without_a_channel(tmp_path: Path) -> None:
    """N x H x W becomes N x 1 x H x W."""
    grey = {k: v[:, 0] if v.ndim == 4 else v for k, v in GOOD.items()}
    np.savez(tmp_path / "grey.npz", **grey)
    arrays = npz.load(str(tmp_path / "grey.npz"), tmp_path)
    assert np.array_equal(arrays.x_train, GOOD["x_train"][:, :1])


def test_npz_finds_a_path_at_home_here_and_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is the home folder; a relative path counts from here, then from the data folder."""
    here, data, home = (tmp_path / name for name in ("here", "data", "home"))
    for folder in (here, data, home):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    np.savez(home / "mine.npz", **GOOD)
    assert npz.load("~/mine.npz", data).n_classes == 3
    np.savez(data / "ours.npz", **GOOD)
    assert npz.load("ours.npz", data).x_train[0, 0, 0, 1] == 1
    np.savez(here / "ours.npz", **{**GOOD, "x_train": np.full_like(GOOD["x_train"], 9)})
    assert npz.load("ours.npz", data).x_train[0, 0, 0, 1] == 9


def test_npz_without_a_file_names_every_place_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both folders are in the error, and how to write such a file."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        npz.load("absent.npz", tmp_path / "data")
    assert str(tmp_path / "absent.npz") in error.value.message
    assert str(tmp_path / "data" / "absent.npz") in error.value.message
    assert "numpy.savez_compressed" in str(error.value.hint)


def test_npz_names_missing_arrays_and_those_it_found(tmp_path: Path) -> None:
    """A file with other names says which are wanted and which are there."""
    np.savez(tmp_path / "a.npz", x_train=GOOD["x_train"], labels=GOOD["y_train"])
    with pytest.raises(DataError, match=r"y_train, x_test, y_test is missing \(it holds x_train, labels\)"):
        npz.load(str(tmp_path / "a.npz"), tmp_path)


def test_npz_says_how_to_move_channels_first(tmp_path: Path) -> None:
    """N x H x W x C is not guessed at: the error holds the line that mends it, and it does."""
    first = np.arange(6 * 3 * 8 * 5, dtype=np.uint8).reshape(6, 3, 8, 5)
    last = first.transpose(0, 2, 3, 1)
    np.savez(tmp_path / "a.npz", **{**GOOD, "x_train": last})
    with pytest.raises(DataError, match="looks like N x H x W x C") as error:
        npz.load(str(tmp_path / "a.npz"), tmp_path)
    assert "numpy.transpose(x_train, (0, 3, 1, 2))" in str(error.value.hint)
    assert np.array_equal(np.transpose(last, (0, 3, 1, 2)), first)


def test_npz_executes_nothing_and_refuses_what_is_no_archive(tmp_path: Path) -> None:
    """Pickled objects, a lone array, text and an empty file are refused, each naming the file."""
    np.savez(tmp_path / "objects.npz", **{**GOOD, "y_test": np.array([None, {}], dtype=object)})
    with (tmp_path / "lone.npz").open("wb") as file:
        np.save(file, GOOD["x_train"])
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npz").touch()
    np.savez(tmp_path / "whole.npz", **GOOD)
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    for name in ("objects", "lone", "text", "empty", "half"):
        with pytest.raises(DataError, match=f"{name}.npz cannot be read as an .npz file of plain arrays"):
            npz.load(str(tmp_path / f"{name}.npz"), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": GOOD["x_train"] / 255}, "x_train must be uint8"),
        ({"y_train": GOOD["y_train"] / 2}, "y_train must hold whole numbers, but is float64"),
        (
            {"y_test": GOOD["y_test"][:, None]},
            "y_test must hold one label for each of 2 images, but is 2 x 1",
        ),
    ],
)
def test_npz_with_arrays_of_another_form_names_the_file(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    """The error starts with the file, then the array and its rule."""
    np.savez(tmp_path / "a.npz", **{**GOOD, **change})
    with pytest.raises(DataError, match=f"a.npz: {message}"):
        npz.load(str(tmp_path / "a.npz"), tmp_path)
