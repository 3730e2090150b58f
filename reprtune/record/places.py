"""Where a database file lies: SQLite's locks do not hold on network file systems."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from reprtune.errors import StorageError
from reprtune.settings import program

MOUNTS = Path("/proc/self/mounts")
# Whose locks and shared memory fail between machines, and with some of them on one machine.
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "beegfs", "gpfs", "ceph", "afs", "glusterfs",
           "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse")  # fmt: skip
ACCEPT = "REPRTUNE_SQLITE_ON_NETWORK"  # "accept" = at one's own risk


def file_system(path: Path, mounts: Path | None = None) -> str:
    """The type of the file system a path lies on, `nfs4` and the like; empty where that is not said."""
    try:
        rows = [line.split()[1:3] for line in (mounts or MOUNTS).read_text().splitlines()]
    except OSError:
        return ""
    whole = path.expanduser().resolve()
    holding = [
        (len(Path(at).parts), n, kind)
        for n, (at, kind) in enumerate((at.replace("\\040", " "), kind) for at, kind in rows)
        if whole.is_relative_to(at)
    ]
    return max(holding)[2] if holding else ""


def check_place(url: str, mounts: Path | None = None) -> None:
    """Refuse an SQLite file on a network file system.

    Raises:
        StorageError: naming the file, the file system, and what to use instead.
    """
    with contextlib.suppress(ArgumentError, ValueError):  # said where it is opened
        _check(make_url(url), url, mounts)


def _check(parsed: URL, url: str, mounts: Path | None) -> None:
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return
    if (kind := file_system(Path(parsed.database), mounts)) in NETWORK and os.environ.get(ACCEPT) != "accept":
        raise StorageError(
            f"The storage {url} lies on a network file system ({kind}), where SQLite's locks fail: it would be "
            "damaged sooner or later.",
            f"Use PostgreSQL: `{program()} db start` runs one of your own and prints its URL for --storage. Or name "
            f"a file on a local disk; or set {ACCEPT}=accept, at your own risk, with all workers on one machine.",
        )
