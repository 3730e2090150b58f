"""A file is replaced as a whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from reprtune.files import replacing, write_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Folders are made, the old text is gone, the pieces follow one another, and no draft stays."""
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, b"long text before")
    write_atomically(path, b"sho", b"rt")
    assert path.read_text() == "short"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    """Whatever was written by then; also where a person interrupts it."""
    path = tmp_path / "x.npz"
    path.write_text("old")

    def fail(error: type[BaseException]) -> None:
        with replacing(path) as draft:
            draft.write_text("half")
            assert draft.suffix == ".npz" and path.read_text() == "old"
            raise error

    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error):
            fail(error)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


@pytest.mark.parametrize(("before", "after"), [(None, 0o640), (0o600, 0o600), (0o755, 0o755)])
def test_rights_are_the_old_files_or_those_of_new_ones(
    tmp_path: Path, before: int | None, after: int
) -> None:
    """A start file of a shell that only its owner may read stays so; a new file follows the umask (here 027)."""
    path = tmp_path / "x"
    if before is not None:
        path.touch()
        path.chmod(before)
    mask = os.umask(0o027)
    try:
        write_atomically(path, b"new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == after


def test_drafts_may_lie_elsewhere(tmp_path: Path) -> None:
    """Where leftovers of killed processes are looked for; the folder of the file sees no draft."""
    drafts, path = tmp_path / "tmp", tmp_path / "a" / "x"
    drafts.mkdir()
    with replacing(path, drafts=drafts) as draft:
        draft.write_bytes(b"1")
        assert (draft.parent, list(path.parent.iterdir())) == (drafts, [])
    assert (path.read_bytes(), list(drafts.iterdir())) == (b"1", [])


@pytest.mark.parametrize(("sync", "synced"), [(True, ["draft", "folder"]), (False, [])])
def test_the_disk_is_waited_for_before_the_old_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool, synced: list[str]
) -> None:
    """First the content, then, when it has its name, the folder; unless nobody needs it."""
    path, seen = tmp_path / "x", []

    def fsync(descriptor: int) -> None:
        what = Path(f"/proc/self/fd/{descriptor}").readlink()
        assert path.exists() is (what == tmp_path)
        seen.append("folder" if what == tmp_path else "draft")

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, b"1", sync=sync)
    assert seen == synced
