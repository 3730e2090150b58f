"""What befalls files: full and read-only disks, states that are gone, damaged or replaced."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from reprtune.states.store import MAGIC
from tests.faults.points import Fault
from tests.faults.row import Row
from tests.faults.rows.workers import both
from tests.faults.world import World, Wrong

SMALL = "16m"


def lacks_mount() -> str:
    """A disk of its own is a tmpfs, which root alone may mount."""
    if os.geteuid():
        return "needs root, to mount a small disk"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return "" if done.returncode == 0 else "nothing may be mounted here"


def disk(world: World, folder: Path) -> None:
    """A small disk in that folder, real to the kernel."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)], check=True)
    world.at_the_end.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Until not one more byte fits."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return path


def states_full(world: World) -> None:
    """All machines share it, so all leave; with space again the same commands go on."""
    disk(world, world.states)
    world.unharmed = []
    both(world, Fault("train", "hold"))
    world.reached("train")
    filler = fill(world.states)
    world.let_go()
    world.one.end(1, "Cannot write states in .*: No space left on device", "Free some space")
    world.two.end(1, "Free some space")
    filler.unlink()
    again(world)


def runs_full(world: World) -> None:
    """One machine's own."""
    artifacts = world.one.runs / "mlflow-artifacts"
    artifacts.unlink()
    disk(world, world.one.runs)
    artifacts.symlink_to(world.folder / "mlflow-artifacts")
    both(world, Fault("train", "hold"))
    world.reached("train")
    filler = fill(world.one.runs)
    world.let_go()
    world.one.end(1, "No space left on device", "Free some space")
    world.two.end(0)
    filler.unlink()
    world.one.begin()
    world.one.end(0)


def states_read_only(world: World) -> None:
    disk(world, world.states)
    world.unharmed = []
    both(world, Fault("train", "hold"))
    world.reached("train")
    subprocess.run(["mount", "-o", "remount,ro", str(world.states)], check=True)
    world.let_go()
    world.one.end(1, "Read-only file system", "--states")
    world.two.end(1, "Read-only file system", "--states")
    subprocess.run(["mount", "-o", "remount,rw", str(world.states)], check=True)
    again(world)


def again(world: World) -> None:
    """The same commands, at the same time."""
    for machine in (world.one, world.two):
        machine.begin()
    for machine in (world.one, world.two):
        machine.end(0)


def states(change: Callable[[Path, World], None]) -> Callable[[World], None]:
    """Of every state that there is, when a worker has been killed in its third slot."""

    def script(world: World) -> None:
        both(world, Fault("tell", "hold", nth=3))
        world.reached("tell")
        paths = list(world.states.rglob("*.state"))
        if not paths:
            raise Wrong("there are no states")
        for path in paths:
            change(path, world)
        world.let_go()
        world.one.end(0)
        world.two.end(0)
        if (world.folder / "opened").exists():
            raise Wrong("a pickle was opened")

    return script


def folder_gone(world: World) -> None:
    """As when its disk is no longer mounted: nothing is written to another one, and all leave."""
    both(world, Fault("state", "hold"))
    world.reached("state")
    shutil.rmtree(world.states)
    world.unharmed = []
    world.let_go()
    world.one.end(1, "is its disk still mounted")
    world.two.end(1, "is its disk still mounted")
    if list(world.states.rglob("*.state")):
        raise Wrong("states were written in its place")
    again(world)


def remove(path: Path, _: World) -> None:
    path.unlink()


def flip(path: Path, _: World) -> None:
    """Some bytes in its middle."""
    content, draws = bytearray(path.read_bytes()), random.Random(path.name)
    for _n in range(8):
        content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
    path.write_bytes(content)


class _Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "x")


def pickled(path: Path, world: World) -> None:
    path.write_bytes(pickle.dumps(_Trap(world.folder / "opened")))


def signed(path: Path, world: World) -> None:
    """With the checksum that a state has."""
    payload = pickle.dumps(_Trap(world.folder / "opened"))
    path.write_bytes(MAGIC + hashlib.sha256(payload).digest() + payload)


ROWS = (
    Row(
        "disk-states", f"the disk of the states full (a tmpfs of {SMALL})", states_full, "Cannot write states",
        lacks_mount,
    ),
    Row(
        "disk-runs", f"the disk of a runs folder full (a tmpfs of {SMALL})", runs_full, "No space left on device",
        lacks_mount,
    ),
    Row(
        "states-ro", "the disk of the states read-only (remounted)", states_read_only, "Read-only file system",
        lacks_mount,
    ),
    Row("states-gone", "all states gone, while workers work", states(remove)),
    Row("folder-gone", "the folder of states gone, while a worker writes there", folder_gone, "Cannot write states"),
    Row("states-damaged", "bits flipped in all states", states(flip)),
    Row("states-pickled", "all states replaced by pickles that run code", states(pickled)),
    Row("states-signed", "the same, with right checksums", states(signed)),
)  # fmt: skip
