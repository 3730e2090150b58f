"""What a run was made with: the checkout, Python, the packages, the machine. Recorded, never hashed into states."""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

FILE = "environment.txt"


def machine_tags() -> dict[str, str]:
    """Of this process: host, user, checkout (`git_dirty`: tracked files differ from the commit), Python, system, CPU."""
    return {
        "host": platform.node(),
        "user": _user(),
        "git_sha": git_sha(),
        "git_dirty": git_dirty(),
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": f"{_cpu_name()}, {os.cpu_count()} logical",
    }


@functools.cache
def packages() -> str:
    """Every installed package as a line of a requirements file, sorted; Python in a comment at the top."""
    found = {(d.metadata["Name"] or "").lower(): d.version for d in metadata.distributions()}
    lines = [f"{name}=={version}" for name, version in sorted(found.items()) if name]
    return "\n".join([f"# Python {platform.python_version()}", *lines]) + "\n"


def packages_digest() -> str:
    """Equal where Python and all packages are."""
    return hashlib.sha256(packages().encode()).hexdigest()[:16]


def git_sha() -> str:
    """The commit of the checkout; `unknown` outside one."""
    return _git("rev-parse", "HEAD") or "unknown"


def git_dirty() -> str:
    """`true` or `false`: do tracked files differ from the commit? `unknown` outside a checkout."""
    said = _git("status", "--porcelain", "--untracked-files=no")
    return "unknown" if said is None else str(bool(said)).lower()


def _git(*words: str) -> str | None:
    try:
        found = subprocess.run(  # noqa: S603 - fixed words
            ["git", *words],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _cpu_name() -> str:
    """The model where Linux says it, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        return "unknown"
