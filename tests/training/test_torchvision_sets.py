"""Data sets that are downloaded, on small stand-ins for their files and on the real Fashion-MNIST."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from reprtune.errors import DataError
from reprtune.training.data import download, torchvision_sets
from reprtune.training.platform.torchvision_import import datasets

RAW = Path("FashionMNIST", "raw")
RNG = np.random.default_rng(0)
IDX = {
    "train-images-idx3-ubyte": RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte": np.arange(20, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": RNG.integers(0, 256, (10, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte": np.arange(10, dtype=np.uint8),
}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test downloads anything."""

    def offline(*_args: object, **_more: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", offline)


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the four .gz files of 30 images, whose sums and sizes pass for the published ones."""
    folder = tmp_path / "data"
    (folder / RAW).mkdir(parents=True)
    resources, sizes = [], {}
    for name, array in IDX.items():
        head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        whole = head + array.tobytes()
        (folder / RAW / f"{name}.gz").write_bytes(gzip.compress(whole))
        resources.append((f"{name}.gz", md5(folder / RAW / f"{name}.gz")))
        sizes[name] = len(whole)
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    monkeypatch.setattr(torchvision_sets, "_IDX_BYTES", sizes)
    return folder


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """A folder with an archive like CIFAR-10's, 10 images per file, and all 60 images in order."""
    folder, made = tmp_path / "data", tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    made.mkdir()
    x = RNG.integers(0, 256, (60, 3072), dtype=np.uint8)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for i, name in enumerate(names):
        content = {"data": x[10 * i : 10 * i + 10], "labels": list(range(10))}
        (made / name).write_bytes(pickle.dumps(content))
    (made / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(made, made.name)
    kind = datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, md5(made / name)] for name in names[:5]])
    monkeypatch.setattr(kind, "test_list", [[names[5], md5(made / names[5])]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(made / "batches.meta")})
    monkeypatch.setattr(kind, "tgz_md5", md5(folder / "cifar-10-python.tar.gz"))
    return folder, x.reshape(-1, 3, 32, 32)


@pytest.fixture
def mnist(tmp_path: Path, fashion: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same images as MNIST's."""
    (fashion / "MNIST").mkdir()
    (fashion / RAW).rename(fashion / "MNIST" / "raw")
    monkeypatch.setattr(datasets.MNIST, "resources", datasets.FashionMNIST.resources)
    return fashion


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """A folder with an archive like CIFAR-100's, 100 images for training and 20 for the test."""
    folder, made = tmp_path / "data", tmp_path / "cifar-100-python"
    folder.mkdir()
    made.mkdir()
    x = RNG.integers(0, 256, (120, 3072), dtype=np.uint8)
    for name, rows in (("train", slice(100)), ("test", slice(100, 120))):
        fine = [i % 100 for i in range(120)][rows]
        content = {"data": x[rows], "fine_labels": fine, "coarse_labels": [0] * len(fine)}
        (made / name).write_bytes(pickle.dumps(content))
    (made / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}))
    with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as archive:
        archive.add(made, made.name)
    kind = datasets.CIFAR100
    monkeypatch.setattr(kind, "train_list", [["train", md5(made / "train")]])
    monkeypatch.setattr(kind, "test_list", [["test", md5(made / "test")]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(made / "meta")})
    monkeypatch.setattr(kind, "tgz_md5", md5(folder / "cifar-100-python.tar.gz"))
    return folder, x.reshape(-1, 3, 32, 32)


@pytest.fixture
def svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """A folder with two .mat files like SVHN's, 20 and 10 images, H x W x C x N, the digit 0 labelled 10."""
    folder = tmp_path / "data"
    folder.mkdir()
    x = RNG.integers(0, 256, (30, 3, 32, 32), dtype=np.uint8)
    lists = {}
    for split, rows in (("train", slice(20)), ("test", slice(20, 30))):
        labels = np.arange(30)[rows] % 10
        file = folder / f"{split}_32x32.mat"
        savemat(file, {"X": x[rows].transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
        lists[split] = ["http://nowhere", file.name, md5(file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", lists)
    return folder, x


def load_fashion(folder: Path) -> None:
    """Load, and compare with the images that went in."""
    arrays = torchvision_sets.fashion_mnist("", folder)
    assert np.array_equal(arrays.x_train[:, 0], IDX["train-images-idx3-ubyte"])
    assert np.array_equal(arrays.y_train, IDX["train-labels-idx1-ubyte"])
    assert np.array_equal(arrays.x_test[:, 0], IDX["t10k-images-idx3-ubyte"])
    assert np.array_equal(arrays.y_test, IDX["t10k-labels-idx1-ubyte"])


def test_archives_that_were_copied_there_are_unpacked_once(fashion: Path) -> None:
    """No network is needed; the second time the unpacked files alone will do; nothing else is left."""
    load_fashion(fashion)
    for archive in (fashion / RAW).glob("*.gz"):
        archive.unlink()
    load_fashion(fashion)
    assert sorted(p.name for p in (fashion / RAW).iterdir()) == sorted(IDX)
    assert sorted(p.name for p in fashion.iterdir()) == [".fashion-mnist.lock", "FashionMNIST"]


def test_cifar10_is_read_channels_first_from_its_archive(cifar: tuple[Path, np.ndarray]) -> None:
    """Five training batches in order, then the test batch, from the archive and then from the files."""
    folder, x = cifar
    for _ in range(2):
        arrays = torchvision_sets.cifar10("", folder)
        assert np.array_equal(arrays.x_train, x[:50]) and np.array_equal(arrays.x_test, x[50:])
        assert arrays.y_train.tolist() == list(range(10)) * 5
        (folder / "cifar-10-python.tar.gz").unlink(missing_ok=True)


def test_mnist_is_read_from_its_own_folder(mnist: Path) -> None:
    """MNIST/raw, from the archives and then from the unpacked files."""
    for _ in range(2):
        arrays = torchvision_sets.mnist("", mnist)
        assert np.array_equal(arrays.x_train[:, 0], IDX["train-images-idx3-ubyte"])
        assert np.array_equal(arrays.y_test, IDX["t10k-labels-idx1-ubyte"])
        for archive in (mnist / "MNIST" / "raw").glob("*.gz"):
            archive.unlink()


def test_cifar100_has_its_fine_labels(cifar100: tuple[Path, np.ndarray]) -> None:
    """A hundred classes, images channels first, from the archive and then from the files."""
    folder, x = cifar100
    for _ in range(2):
        arrays = torchvision_sets.cifar100("", folder)
        assert np.array_equal(arrays.x_train, x[:100]) and np.array_equal(arrays.x_test, x[100:])
        assert arrays.n_classes == 100 and arrays.y_test.tolist() == list(range(20))
        (folder / "cifar-100-python.tar.gz").unlink(missing_ok=True)


def test_svhn_is_read_from_its_two_files(svhn: tuple[Path, np.ndarray]) -> None:
    """Images first, channels before rows; the label 10 is the digit 0; a third file is not wanted."""
    folder, x = svhn
    arrays = torchvision_sets.svhn("", folder)
    assert np.array_equal(arrays.x_train, x[:20]) and np.array_equal(arrays.x_test, x[20:])
    assert arrays.y_train.tolist() == list(range(10)) * 2 and arrays.y_test.tolist() == list(range(10))


def test_half_of_svhn_is_kept_while_the_other_half_is_fetched(
    svhn: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two files only the absent one is downloaded, and the other stays the file it was."""
    folder, x = svhn
    test = (folder / "test_32x32.mat").read_bytes()
    (folder / "test_32x32.mat").unlink()
    fetched = []

    def fetch(_url: str, root: Path, filename: str, _md5: str) -> None:
        if not (Path(root) / filename).exists():
            fetched.append(filename)
            (Path(root) / filename).write_bytes(test)

    monkeypatch.setattr(sys.modules[datasets.SVHN.__module__], "download_url", fetch)
    assert np.array_equal(torchvision_sets.svhn("", folder).x_train, x[:20])
    assert fetched == ["test_32x32.mat"]
    assert sorted(p.name for p in folder.iterdir()) == [".svhn.lock", "test_32x32.mat", "train_32x32.mat"]
    assert not any(p.is_symlink() for p in folder.iterdir())


def test_a_changed_cifar10_file_is_never_unpickled(cifar: tuple[Path, np.ndarray]) -> None:
    """A file with another sum counts as absent: here it is unpacked again from the archive."""
    folder, x = cifar
    torchvision_sets.cifar10("", folder)
    (folder / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert np.array_equal(torchvision_sets.cifar10("", folder).x_train, x[:50])


@pytest.mark.parametrize(
    ("load", "files"),
    [
        (
            torchvision_sets.fashion_mnist,
            ["FashionMNIST/raw/train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"],
        ),
        (torchvision_sets.cifar10, ["cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_5"]),
        (torchvision_sets.mnist, ["MNIST/raw/train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"]),
        (torchvision_sets.cifar100, ["cifar-100-python.tar.gz", "cifar-100-python/train"]),
        (torchvision_sets.svhn, ["train_32x32.mat", "test_32x32.mat"]),
    ],
)
def test_offline_the_error_says_where_what_and_how_else(
    load: object, files: list[str], tmp_path: Path
) -> None:
    """The folder searched, the files expected there, the cause and the way out; nothing half-written stays."""
    with pytest.raises(DataError) as error:
        load("", tmp_path / "data")  # type: ignore[operator]
    for text in (str(tmp_path / "data"), *files, "no route to host"):
        assert text in error.value.message
    assert "--data-dir" in str(error.value.hint) and "npz:PATH" in str(error.value.hint)
    assert [p.suffix for p in (tmp_path / "data").iterdir()] == [".lock"]


def test_a_damaged_archive_is_neither_used_nor_overwritten(fashion: Path) -> None:
    """Half a .gz counts as absent: offline that is an error, and the person's file stays as it is."""
    archive = fashion / RAW / "train-images-idx3-ubyte.gz"
    half = archive.read_bytes()[:2000]
    archive.write_bytes(half)
    with pytest.raises(DataError, match="the download failed"):
        load_fashion(fashion)
    assert archive.read_bytes() == half


def test_an_interrupted_download_is_not_taken_as_complete(
    fashion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a file is half unpacked: the next call starts over and gets every image."""

    def interrupted(*_args: object, download_root: str, filename: str, **_more: object) -> None:
        Path(download_root, filename.removesuffix(".gz")).write_bytes(b"half a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[datasets.MNIST.__module__], "download_and_extract_archive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            torchvision_sets.fashion_mnist("", fashion)
    load_fashion(fashion)
    assert not (fashion / ".fashion-mnist.incomplete").exists()


def test_an_unpacked_file_that_was_cut_short_is_replaced(fashion: Path) -> None:
    """torchvision would take it as complete because it is there."""
    (fashion / RAW / "train-images-idx3-ubyte").write_bytes(b"half a file")
    load_fashion(fashion)


def test_archives_in_a_folder_that_cannot_be_written_to_will_do(
    fashion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are unpacked elsewhere for the moment; the folder stays as it is."""
    monkeypatch.setattr(download, "writable", lambda _folder: False)
    before = sorted(fashion.rglob("*"))
    load_fashion(fashion)
    assert sorted(fashion.rglob("*")) == before


def test_a_folder_that_cannot_be_written_to_and_lacks_files_is_an_error(
    fashion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the missing archive and why it is not downloaded."""
    monkeypatch.setattr(download, "writable", lambda _folder: False)
    (fashion / RAW / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz missing, .* cannot be written to"):
        load_fashion(fashion)


def test_a_data_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    """A file where the folder should be cannot be written to, and says so."""
    (tmp_path / "data").touch()
    with pytest.raises(DataError, match="cannot be written to"):
        torchvision_sets.cifar10("", tmp_path / "data")


def test_the_network_timeout_is_ours_only_while_loading(fashion: Path) -> None:
    """A silent network ends in an error; the process's own setting is back afterwards."""
    before = socket.getdefaulttimeout()
    load_fashion(fashion)
    assert socket.getdefaulttimeout() == before


WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from reprtune.training.data.arrays import Arrays
from reprtune.training.data.download import Source, load

def fetch(folder):
    with open(sys.argv[2], "a") as log:
        log.write("fetched\\n")
    time.sleep(0.5)
    (folder / "file").write_text("whole")

x, y = np.zeros((2, 1, 1, 1), np.uint8), np.arange(2)
whole = lambda path: path.is_file() and path.read_text() == "whole"
load(Source("toy", {"file": whole}, {"archive": lambda path: False}, fetch, lambda _: Arrays(x, y, x, y)), Path(sys.argv[1]))
"""


def test_several_workers_download_once(tmp_path: Path) -> None:
    """Three processes that start together: one fetches, the others wait and read."""
    command = [sys.executable, "-W", "error", "-c", WORKER, str(tmp_path / "data"), str(tmp_path / "log")]
    root = Path(__file__).parents[2]
    workers = [subprocess.Popen(command, cwd=root) for _ in range(3)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "fetched\n"


def test_the_real_fashion_mnist(shared_data: Path, tmp_path: Path) -> None:
    """The four original files: every pixel and label as gzip and numpy read them; 6,000 and 1,000 per class."""
    shutil.copytree(shared_data / RAW, tmp_path / RAW)
    arrays = torchvision_sets.fashion_mnist("", tmp_path)

    def raw(name: str, offset: int) -> np.ndarray:
        return np.frombuffer(
            gzip.decompress((tmp_path / RAW / f"{name}.gz").read_bytes()), np.uint8, offset=offset
        )

    assert arrays.x_train.shape == (60_000, 1, 28, 28) and arrays.x_test.shape == (10_000, 1, 28, 28)
    assert np.array_equal(arrays.x_train.ravel(), raw("train-images-idx3-ubyte", 16))
    assert np.array_equal(arrays.y_test, raw("t10k-labels-idx1-ubyte", 8))
    assert np.bincount(arrays.y_train).tolist() == [6000] * 10
    assert np.bincount(arrays.y_test).tolist() == [1000] * 10
