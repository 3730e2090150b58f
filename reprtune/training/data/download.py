"""Data sets that torchvision downloads: once for all workers, and never half a one.

torchvision takes an unpacked file for complete when it is merely there, so everything is fetched and
unpacked in a folder of its own first, and moved into place file by file when it is whole.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from reprtune.errors import DataError
from reprtune.training.data.arrays import Arrays
from reprtune.training.data.converted import Conversion

STALL_SECONDS = 30  # without a byte from the network
_FAILURES = (OSError, RuntimeError, EOFError, http.client.HTTPException)


@dataclass(frozen=True)
class Source:
    """A data set of torchvision.

    Attributes:
        name: as in the catalog.
        files: path -> is this file whole? The unpacked files, relative to the data folder.
        archives: path -> is this file whole? What is downloaded and unpacked.
        fetch: download what is absent into a folder and unpack it there, checked.
        read: the arrays of a folder with all files.
    """

    name: str
    files: Mapping[str, Callable[[Path], bool]]
    archives: Mapping[str, Callable[[Path], bool]]
    fetch: Callable[[Path], object]
    read: Callable[[Path], Arrays]

    def complete(self, folder: Path) -> bool:
        return not _absent(self.files, folder)


def load(source: Source, data_dir: Path) -> Arrays:
    """Read a data set from `data_dir`, downloading it there if need be.

    A conversion that `data prepare` wrote there is read instead; a damaged one is written again.
    A folder that cannot be written to will do when it holds the unpacked files or the archives.

    Raises:
        DataError: naming the folder searched, the files expected there and the way out.
    """
    folder = data_dir.expanduser().resolve()
    stored = Conversion(folder, source.name)
    if not stored.path.exists():
        return read_original(source, folder)
    arrays = stored.read()
    if arrays is None:
        arrays = read_original(source, folder)
        if writable(folder):
            stored.write(arrays)
    return arrays


def read_original(source: Source, folder: Path) -> Arrays:
    """As `load`, from the files that the data set is published as."""
    with _patient():
        if source.complete(folder):
            return source.read(folder)
        if not writable(folder):
            return _read_aside(source, folder)
        with FileLock(folder / f".{source.name}.lock"):
            if not source.complete(folder):  # else another worker was faster
                _install(source, folder)
        return source.read(folder)


def _install(source: Source, folder: Path) -> None:
    """Fetch into a folder aside and move in. What an earlier attempt left there whole is used."""
    staging = folder / f".{source.name}.incomplete"
    _prepare(source, folder, staging)
    try:
        _fetch(source, folder, staging)
    except DataError:
        if len(_absent(source.archives, staging)) == len(source.archives):
            shutil.rmtree(staging)  # nothing in it that the next attempt could use
        raise
    for file in source.files:
        if (staging / file).is_symlink():
            continue  # to this very place: the file was there and whole
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / file, folder / file)
    shutil.rmtree(staging)


def _read_aside(source: Source, folder: Path) -> Arrays:
    """Unpack the archives of a folder that cannot be written to in a temporary one."""
    if absent := _absent(source.archives, folder):
        raise _not_found(source, folder, f"{', '.join(absent)} missing, and the folder cannot be written to")
    with tempfile.TemporaryDirectory(prefix=f"reprtune-{source.name}-") as aside:
        _prepare(source, folder, Path(aside))
        _fetch(source, folder, Path(aside))
        return source.read(Path(aside))


def _prepare(source: Source, folder: Path, staging: Path) -> None:
    """Remove unpacked files of an interrupted attempt, and link the archives a person put into `folder`."""
    for file in source.files:
        if file not in source.archives:
            (staging / file).unlink(missing_ok=True)
    for archive, whole in source.archives.items():
        link = staging / archive
        link.parent.mkdir(parents=True, exist_ok=True)
        if whole(folder / archive):
            link.unlink(missing_ok=True)
            link.symlink_to(folder / archive)


def _fetch(source: Source, folder: Path, staging: Path) -> None:
    try:
        source.fetch(staging)
    except _FAILURES as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise _not_found(source, folder, f"the download failed: {cause}") from error
    if absent := _absent(source.files, staging):
        raise _not_found(source, folder, f"the download has no whole {', '.join(absent)}")


def _absent(files: Mapping[str, Callable[[Path], bool]], folder: Path) -> list[str]:
    return [file for file, whole in files.items() if not whole(folder / file)]


def _not_found(source: Source, folder: Path, cause: str) -> DataError:
    files, archives = ", ".join(source.files), ", ".join(source.archives)
    return DataError(
        f"The data set {source.name} is not in {folder}, which must hold {archives} or, unpacked, {files} "
        f"({cause}).",
        "Download them on another machine and copy them there, name their folder with --data-dir, "
        "or use your own arrays with --dataset npz:PATH.",
    )


def writable(folder: Path) -> bool:
    """Can files be made in `folder`, which is made if absent?"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextmanager
def _patient() -> Iterator[None]:
    """Give up on a silent network, and keep numpy's remark on CIFAR-10's old pickles to ourselves."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"dtype\(\): align")
            warnings.filterwarnings("ignore", message=".*tar archives", category=DeprecationWarning)
            yield
    finally:
        socket.setdefaulttimeout(before)
