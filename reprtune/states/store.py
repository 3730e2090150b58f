"""A folder of states that several processes and machines share.

A state's name is the digest of the history that leads to it, so a name is written once and its
content never changes. Files appear by rename and carry a checksum; a damaged file counts as absent
and is trained again, which is why nothing here waits for the disk (no fsync).

    <folder>/ab/abcdef....state     10 bytes magic, 32 bytes SHA-256 of the payload, the payload
    <folder>/claims/<name>          who is training the segment that ends in this state:
                                    owner, machine, process and a number of its own, a line each
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reprtune.errors import StateError
from reprtune.files import write_atomically
from reprtune.processes import has_ended, machine

MAGIC = b"reprtune1\n"
CLAIM_SECONDS = 60.0
LEFTOVER_SECONDS = 24 * 3600.0
FULL = "Free some space, then run the same command again: it continues from the last state."
GONE = (
    "It was there before: bring it back (is its disk still mounted?), then run the same command again; without its "
    "states, what is not finished is trained anew."
)
HINTS = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.ENOENT: GONE, errno.ESTALE: GONE}


@dataclass
class Claim:
    """The announced intention to train one segment. It is void when its process is known to be dead, or
    when it was not refreshed for `CLAIM_SECONDS`; a claim taken over by another is left to them."""

    path: Path
    text: str

    def refresh(self) -> None:
        """Say that the work goes on."""
        with contextlib.suppress(OSError):
            if self.path.read_text() == self.text:
                os.utime(self.path)

    def release(self) -> None:
        with contextlib.suppress(OSError):
            if self.path.read_text() == self.text:
                self.path.unlink()


def state_path(folder: Path, name: str) -> Path:
    """Where a folder has a state, if it has it."""
    return folder / name[:2] / f"{name}.state"


class StateStore:
    """The states of one folder, read and written by name.

    Args:
        folder: made where absent.
        owner: written into claims, for people who look.

    Raises:
        StateError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, owner: str = "") -> None:
        self.folder = Path(folder)
        self.owner = owner or f"pid {os.getpid()}"
        with self._errors("prepare"):
            (self.folder / "claims").mkdir(parents=True, exist_ok=True)
            (self.folder / "tmp").mkdir(exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, "Permission denied")
            self._remove_leftovers()

    def path(self, name: str) -> Path:
        return state_path(self.folder, name)

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def get(self, name: str) -> bytes | None:
        """The payload; None when absent. A damaged file is removed and counts as absent."""
        try:
            content = self.path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error("read", error) from error
        head, payload = content[: len(MAGIC) + 32], memoryview(content)[len(MAGIC) + 32 :]
        if head != MAGIC + hashlib.sha256(payload).digest():
            self.delete([name])
            return None
        return bytes(payload)

    def put(self, name: str, payload: bytes, *, replace: bool = False) -> bool:
        """Write a state, whole or not at all. False when it was there already, unless it is to be
        replaced."""
        if not replace and self.has(name):
            return False
        head = MAGIC + hashlib.sha256(payload).digest()
        with self._errors("write"):
            write_atomically(self.path(name), head, payload, drafts=self.folder / "tmp", sync=False)
        return True

    def delete(self, names: Iterable[str]) -> None:
        with self._errors("delete"):
            for name in names:
                self.path(name).unlink(missing_ok=True)

    def note(self, study: str, kind: str, names: Iterable[str]) -> None:
        """Write down that a study left these states, to find them when it is over or deleted."""
        folder = self.folder / "studies"
        with self._errors("write"):
            folder.mkdir(exist_ok=True)
            with (folder / f"{study}.{kind}").open("a") as file:
                file.write("".join(f"{name}\n" for name in names))

    def noted(self, study: str, kind: str) -> set[str]:
        """The names written down by `note`."""
        try:
            return set((self.folder / "studies" / f"{study}.{kind}").read_text().split())
        except FileNotFoundError:
            return set()

    def forget(self, study: str) -> None:
        """Delete every state that a study left and no other has noted too, and the notes of them."""
        notes = list((self.folder / "studies").glob("*.*"))
        own = [path for path in notes if path.name.startswith(f"{study}.")]
        others = {name for path in notes if path not in own for name in path.read_text().split()}
        for path in own:
            self.delete(set(path.read_text().split()) - others)
            path.unlink(missing_ok=True)

    def claim(self, name: str) -> Claim | None:
        """Announce that the segment ending in `name` is being trained; None when another does.

        A lost race costs time, never correctness: both would write the same state.
        """
        path = self.folder / "claims" / name
        claim = Claim(path, "\n".join([self.owner, machine(), str(os.getpid()), uuid.uuid4().hex]))
        with self._errors("write"):
            if self._create(claim):
                return claim
            if self._is_stale(path):
                aside = self.folder / "tmp" / f"{name}.{uuid.uuid4().hex}"
                with contextlib.suppress(FileNotFoundError):
                    os.rename(path, aside)
                    aside.unlink(missing_ok=True)
                if self._create(claim):
                    return claim
        return None

    def release(self, owner: str) -> None:
        """Void the claims of an owner that is known to be gone, instead of waiting for them to grow old."""
        for path in (self.folder / "claims").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.read_text().split("\n")[0] == owner:
                    path.unlink()

    def _create(self, claim: Claim) -> bool:
        try:
            descriptor = os.open(claim.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(claim.text)
        except OSError:
            claim.path.unlink(missing_ok=True)
            raise
        return True

    def _is_stale(self, path: Path) -> bool:
        """Its process is dead, or it is old by a file touched now: the file server's clock, not this
        machine's."""
        with contextlib.suppress(OSError):
            if _is_dead(path.read_text()):
                return True
        probe = self.folder / "tmp" / f"probe.{uuid.uuid4().hex}"
        try:
            probe.touch()
            return probe.stat().st_mtime - path.stat().st_mtime > CLAIM_SECONDS
        except FileNotFoundError:
            return True
        finally:
            probe.unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """What processes that were killed in the middle of a write left behind, a day later."""
        for folder in ("tmp", "claims"):
            for path in (self.folder / folder).iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                        path.unlink()

    @contextlib.contextmanager
    def _errors(self, verb: str):  # type: ignore[no-untyped-def]
        try:
            yield
        except OSError as error:
            raise self._error(verb, error) from error

    def _error(self, verb: str, error: OSError) -> StateError:
        hint = HINTS.get(error.errno or 0, "Name a folder you may write with --states or REPRTUNE_STATES.")
        return StateError(f"Cannot {verb} states in {self.folder}: {error.strerror or error}.", hint)


def _is_dead(text: str) -> bool:
    """Is the process that wrote a claim known to have ended?"""
    lines = text.split("\n")
    return len(lines) == 4 and lines[2].isdigit() and has_ended(lines[1], int(lines[2]))
