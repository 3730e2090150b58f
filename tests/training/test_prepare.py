"""What is done once for all workers: conversions, indices, decoded images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reprtune.errors import DataError, SpecError
from reprtune.spec.task import TaskSpec
from reprtune.training.data import converted, torchvision_sets
from reprtune.training.data import prepare as prepare_module
from reprtune.training.data.arrays import Arrays, digest
from reprtune.training.data.converted import Conversion
from reprtune.training.data.download import Source
from reprtune.training.data.imagefolder import load
from reprtune.training.data.prepare import prepare
from reprtune.training.data.task import load_task
from tests.training.images import make_folder, picture, save

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
ARRAYS = Arrays(
    RNG.integers(0, 256, (8, 3, 4, 4), dtype=np.uint8), np.arange(8) % 2,
    RNG.integers(0, 256, (4, 3, 4, 4), dtype=np.uint8), np.arange(4) % 2,
)  # fmt: skip


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`cifar10` is 12 images that are there already; a list of how often they were read."""
    read: list[str] = []

    def arrays(_folder: Path) -> Arrays:
        read.append("original")
        return ARRAYS

    source = Source("cifar10", {"file": lambda _path: True}, {}, lambda _folder: None, arrays)
    monkeypatch.setitem(torchvision_sets.SOURCES, "cifar10", lambda: source)
    return read


def test_a_prepared_set_is_read_from_its_conversion(tmp_path: Path, original: list[str]) -> None:
    """The original is read once, by `prepare`; the workers' arrays and task are the same as without."""
    before = load_task(TaskSpec(dataset="cifar10"), tmp_path, CPU)
    found = prepare("cifar10", tmp_path)
    assert original == ["original"] * 2
    assert not found.already and found.path == tmp_path / "prepared" / "cifar10.npz"
    assert (found.n_train, found.n_test, found.n_classes, found.image_shape) == (8, 4, 2, (3, 4, 4))
    assert found.n_bytes == 12 * 48
    arrays = torchvision_sets.cifar10("", tmp_path)
    for name in ("x_train", "y_train", "x_test", "y_test"):
        assert np.array_equal(getattr(arrays, name), getattr(ARRAYS, name))
    after = load_task(TaskSpec(dataset="cifar10"), tmp_path, CPU)
    assert before.digest == after.digest and before.mean == after.mean
    assert original == ["original"] * 2


def test_the_second_time_nothing_is_read(
    tmp_path: Path, original: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`already prepared`, from the note beside the file; the counts are those of the first time."""
    first = prepare("cifar10", tmp_path)
    monkeypatch.setattr(Conversion, "read", lambda _self: pytest.fail("read"))
    second = prepare("cifar10", tmp_path)
    assert second.already and "already prepared" in str(second) and "already" not in str(first)
    assert (second.n_train, second.image_shape, second.path) == (8, (3, 4, 4), first.path)


@pytest.mark.parametrize("damage", ["cut", "pixel", "text"])
def test_a_damaged_conversion_is_written_again(tmp_path: Path, original: list[str], damage: str) -> None:
    """Cut short, one pixel changed with the archive whole, or something else: the original is read, and stays read."""
    path = prepare("cifar10", tmp_path).path
    assert path is not None
    if damage == "pixel":
        x = ARRAYS.x_train.copy()
        x[0, 0, 0, 0] ^= 1
        with np.load(path) as stored:
            content = {key: stored[key] for key in stored.files}
        np.savez(path, **{**content, "x_train": x})
    else:
        path.write_bytes(path.read_bytes()[:-100] if damage == "cut" else b"text")
    for n_read in (2, 2):
        assert digest(torchvision_sets.cifar10("", tmp_path)) == digest(ARRAYS)
        assert len(original) == n_read


def test_a_changed_file_is_not_taken_for_prepared(tmp_path: Path, original: list[str]) -> None:
    """Its size and time are in the note: `prepare` looks again, and mends it."""
    path = prepare("cifar10", tmp_path).path
    assert path is not None
    path.write_bytes(b"text")
    assert not prepare("cifar10", tmp_path).already and Conversion(tmp_path, "cifar10").read() is not None
    assert prepare("cifar10", tmp_path).already


def test_an_interrupted_conversion_leaves_nothing(
    tmp_path: Path, original: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the arrays are written: no file but the lock; the next call does it all."""

    def interrupted(path: Path, **_arrays: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(converted.np, "savez", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare("cifar10", tmp_path)
    assert [p.name for p in (tmp_path / "prepared").iterdir()] == [".cifar10.lock"]
    assert not prepare("cifar10", tmp_path).already and prepare("cifar10", tmp_path).already


def test_a_folder_that_cannot_be_written_to_is_said_so(
    tmp_path: Path, original: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data set is there, so that it is no error."""
    monkeypatch.setattr(prepare_module, "writable", lambda _folder: False)
    found = prepare("cifar10", tmp_path)
    assert "cannot be written to" in found.note and found.path is None and found.n_train == 8


def test_progress_is_told(tmp_path: Path, original: list[str]) -> None:
    """What, how much, out of how much; it ends with all of it."""
    said: list[tuple[str, int, int]] = []
    prepare("cifar10", tmp_path, lambda *words: said.append(words))
    assert said[0][1:] == (0, 2) and said[-1] == ("converted", 2, 2)


def test_sets_that_need_nothing_say_so(tmp_path: Path) -> None:
    """The embedded digits, and a person's own file, which is checked."""
    found = prepare("digits", tmp_path)
    assert found.already and found.note == "Nothing needs to be prepared." and found.n_train == 1438
    with pytest.raises(DataError, match="There is no file"):
        prepare("npz:none.npz", tmp_path)
    with pytest.raises(SpecError, match="There is no dataset 'cifar'"):
        prepare("cifar", tmp_path)


def test_a_prepared_folder_is_mapped_and_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Index and decoded images are there; the task is that of an unprepared folder; a second call does nothing."""
    root = make_folder(tmp_path / "mine", 4, 1)
    spec = TaskSpec(dataset=f"imagefolder:{root}", image_size=8)
    before = load_task(spec, tmp_path / "other data", CPU)
    found = prepare(spec.dataset, tmp_path / "data", image_size=8)
    assert not found.already and found.n_bytes == 15 * 3 * 8 * 8 and found.path is not None
    assert prepare(spec.dataset, tmp_path / "data", image_size=8).already
    from reprtune.training.data import imagefolder

    monkeypatch.setattr(imagefolder, "survey", lambda *_: pytest.fail("decoded again"))
    after = load_task(spec, tmp_path / "data", CPU)
    assert before.digest == after.digest and (before.mean, before.std) == (after.mean, after.std)
    for part in ("train", "score", "val", "test"):
        a, b = getattr(before, part), getattr(after, part)
        assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)


def test_damaged_decoded_images_are_not_used(tmp_path: Path) -> None:
    """A byte changed, or half the file: the files are decoded instead."""
    root = make_folder(tmp_path / "mine", 2, 1)
    prepare(f"imagefolder:{root}", tmp_path / "data", image_size=8)
    folder = load(str(root), tmp_path / "data", image_size=8)
    expected = folder.images(np.arange(9), CPU, resident=True)
    whole = folder.pixels_path.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: len(whole) // 2], b""):
        folder.pixels_path.write_bytes(damaged)
        folder.forget()
        assert folder.prepared_pixels() is None
        assert torch.equal(folder.images(np.arange(9), CPU, resident=True), expected)


def test_decoded_images_of_files_that_changed_are_removed(tmp_path: Path) -> None:
    """`prepare` after a change decodes anew and keeps one copy."""
    root = make_folder(tmp_path / "mine", 2, 1)
    prepare(f"imagefolder:{root}", tmp_path / "data", image_size=8)
    save(root / "train" / "ant" / "000.png", picture(99))
    found = prepare(f"imagefolder:{root}", tmp_path / "data", image_size=8)
    assert not found.already and found.path is not None
    assert len(list(found.path.glob("pixels-*.npy"))) == 1
    folder = load(str(root), tmp_path / "data", image_size=8)
    fresh = load(str(root), tmp_path / "other data", image_size=8)
    images = [f.images(np.arange(9), CPU, resident=True) for f in (folder, fresh)]
    assert torch.equal(*images)


def test_a_folder_that_fits_in_no_memory_is_only_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note says that it will be decoded in every epoch; no decoded copy is written."""
    root = make_folder(tmp_path / "mine", 1, 1, test="val")
    monkeypatch.setattr(prepare_module, "free_ram", lambda: 100)
    found = prepare(f"imagefolder:{root}", tmp_path / "data", image_size=8)
    assert "val/ serves as test images" in found.note and "in every epoch" in found.note
    assert found.path is not None and not list(found.path.glob("pixels-*"))
    assert prepare(f"imagefolder:{root}", tmp_path / "data", image_size=8).already


def test_an_interrupted_look_at_a_folder_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C from the progress of either pass: no index and no pixels of half the folder, and no process."""
    root = make_folder(tmp_path / "mine", 2, 1)
    name, data = f"imagefolder:{root}", tmp_path / "data"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for ready in ([], ["index.npz"]):
        with pytest.raises(KeyboardInterrupt):
            prepare(name, data, interrupt, image_size=8)
        assert sorted(p.name for p in data.rglob("*.np*")) == ready
        load(str(root), data, image_size=8)
    assert not prepare(name, data, image_size=8).already


def test_a_note_of_another_form_is_no_note(tmp_path: Path, original: list[str]) -> None:
    """A JSON that lacks a field is as good as none."""
    path = prepare("cifar10", tmp_path).path
    assert path is not None
    plain = json.loads(path.with_suffix(".json").read_text())
    del plain["n_train"]
    path.with_suffix(".json").write_text(json.dumps(plain))
    assert not prepare("cifar10", tmp_path).already
