"""Where a database file may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprtune.errors import StorageError
from reprtune.record.places import ACCEPT, check_place, file_system
from reprtune.settings import Settings
from reprtune.study.create import create_study
from tests.tiny_study import STUDY


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    (tmp_path / "far" / "local").mkdir(parents=True)
    path = tmp_path / "mounts"
    path.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/far nfs4 rw 0 0\n/dev/sdb {tmp_path}/far/local xfs rw 0 0\n"
    )
    return path


def test_sqlite_on_a_network_file_system_is_refused(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing is there yet; who accepts the risk may have it. The innermost mount is the one that counts."""
    monkeypatch.delenv(ACCEPT, raising=False)
    url = f"sqlite:///{tmp_path}/far/me/runs/x.db"
    with pytest.raises(StorageError, match="nfs4") as raised:
        check_place(url, mounts)
    assert "db start" in str(raised.value.hint) and ACCEPT in str(raised.value.hint)
    assert not (tmp_path / "far" / "me").exists()
    for fine in (
        "sqlite:////tmp/x.db",
        f"sqlite:///{tmp_path}/far/local/x.db",
        "postgresql+psycopg://me@db/x",
    ):
        check_place(fine, mounts)
    monkeypatch.setenv(ACCEPT, "accept")
    check_place(url, mounts)


@pytest.mark.parametrize("kind", ["nfs", "cifs", "smb3", "lustre", "gpfs", "fuse.sshfs"])
def test_a_study_is_not_created_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Refused before anything is made."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr("reprtune.record.places.MOUNTS", mounts)
    assert file_system(tmp_path / "x") == kind
    with pytest.raises(StorageError, match=kind):
        create_study(STUDY, Settings(runs_dir=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
