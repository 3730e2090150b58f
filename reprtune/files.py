"""A file that is replaced as a whole: whoever reads, and whatever is killed, it is the old one or the new one."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, *, drafts: Path | None = None, sync: bool = True) -> Iterator[Path]:
    """Another path, to write to, which takes the place of `path` when the block ends well; else nothing of it stays.

    The new file has the rights of the old one, or those that new files get here.

    Args:
        drafts: folder of the other path, on the same file system; None = beside `path`, with its ending.
        sync: wait for the disk, so that also after a power cut the file is a whole one. Without it, only for
            files whose damage is found and mended.

    Raises:
        OSError: it cannot be written. Folders above `path` are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = (drafts or path.parent) / f".{path.stem}.{uuid.uuid4().hex}{path.suffix}"
    draft.touch(exist_ok=False)
    try:
        yield draft
        if path.exists():
            draft.chmod(path.stat().st_mode & 0o7777)
        if sync:
            _sync(draft)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if sync:
        _sync(path.parent)


def write_atomically(path: Path, *content: bytes, drafts: Path | None = None, sync: bool = True) -> None:
    """Replace a file by this content, the pieces one after the other; see `replacing`."""
    with replacing(path, drafts=drafts, sync=sync) as draft, draft.open("wb") as file:
        for piece in content:
            file.write(piece)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; where it cannot be asked for, go on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # file systems that cannot do it for a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
