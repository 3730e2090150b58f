"""What a fault befalls: two machines that work on one study, with a real database and a real MLflow."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from reprtune.spec.space import IntRange
from tests.command import Command
from tests.faults.points import Fault, environment
from tests.faults.verdict import Found, found
from tests.postgres import PostgreSQL, running_server
from tests.tiny_study import STUDY
from tests.work.tiny_worker import create

BEAT, GRACE = 1, 6
SECONDS = 300  # for what takes a minute on an idle machine
SLOTS = 6
# Every draw fits, and is one of the random ones at the beginning: it depends on its slot alone.
STUDY_OF_THE_MATRIX: dict[str, Any] = {
    "slots": SLOTS, "control_seeds": (0,), "space": {**STUDY.space, "method.cycles": IntRange(low=1, high=1)},
}  # fmt: skip


class Wrong(AssertionError):
    """What was to happen did not."""


@dataclass
class Machine(Command):
    """A machine: a runs folder of its own, and one worker with its supervisor.

    Attributes:
        err, every: what its last command printed, and all of them. workers: names of those that were asked for.
    """

    name: str = ""
    err: str = ""
    every: str = ""
    workers: set[str] = field(default_factory=set)

    @property
    def process(self) -> subprocess.Popen[str]:
        """The last command."""
        return self.started[-1]

    def begin(self, *words: str, env: dict[str, str] | None = None) -> None:
        """Start a command; by default its worker."""
        before, self.environment = self.environment, {**self.environment, **(env or {})}
        self.start(*(words or ("worker", "tiny")))
        self.environment = before

    def end(self, code: int, *said: str) -> None:
        """Wait for its end; `said`: patterns of what it must have printed."""
        try:
            out, self.err = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            out, self.err = self.process.communicate()
            raise Wrong(f"machine {self.name} did not end:\n{out}\n{self.err}") from None
        self.every += self.err
        if self.process.returncode != code:
            ended = f"ended with {self.process.returncode}, not {code}"
            raise Wrong(f"machine {self.name} {ended}:\n{out}\n{self.err}")
        if "Traceback" in self.err:
            raise Wrong(f"machine {self.name} printed a traceback:\n{self.err}")
        for pattern in said:
            if not re.search(pattern, self.err):
                raise Wrong(f"machine {self.name} did not say {pattern!r}, but:\n{out}\n{self.err}")

    def worker(self) -> int:
        """The number of its worker's process."""
        pid = int(wait_for(lambda: next(_workers(self.process.pid), None), what=f"worker of {self.name}"))
        self.workers.add(f"{platform.node()}:{pid}:0")
        return pid


def _workers(supervisor: int) -> Iterator[int]:
    for word in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{word}/cmdline").read_bytes():
                yield int(word)


def wait_for(condition: Callable[[], Any], seconds: float = SECONDS, what: str = "it") -> Any:
    end = time.monotonic() + seconds
    while not (seen := condition()):
        if time.monotonic() > end:
            raise Wrong(f"{what} never came")
        time.sleep(0.05)
    return seen


class World:
    """One study and its machines.

    Attributes:
        url, mlflow: of the database and of MLflow. states: the folder of states that the machines share.
        one: the machine that a fault befalls. two: another, which nothing befalls.
        at_the_end: what is to be undone.
    """

    def __init__(self, services: Services, *, url: str | None = None) -> None:
        self.at_the_end = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="reprtune-fault-"))
        self.at_the_end.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.marks = self.folder / "marks"
        self.marks.mkdir()
        self.services = services
        self.url = url or services.postgresql.new()
        shutil.copy(services.empty_mlflow, self.folder / "mlflow.db")
        self.mlflow = f"sqlite:///{self.folder}/mlflow.db"
        self.states = self.folder / "states"
        self.one, self.two = self.machine("one"), self.machine("two")
        self.unharmed: list[Machine] = [self.two]

    def close(self) -> None:
        self.at_the_end.close()

    def machine(self, name: str, **env: str) -> Machine:
        """Another machine. The folder of artifacts is shared, as MLflow without a server asks for."""
        runs = self.folder / name
        runs.mkdir()
        (self.folder / "mlflow-artifacts").mkdir(exist_ok=True)
        (runs / "mlflow-artifacts").symlink_to(self.folder / "mlflow-artifacts")
        machine = Machine(runs, {**self.environment, **env}, name=name)
        self.at_the_end.callback(machine.close)
        return machine

    @property
    def environment(self) -> dict[str, str]:
        return {
            "REPRTUNE_STORAGE": self.url,
            "MLFLOW_TRACKING_URI": self.mlflow,
            "REPRTUNE_STATES": str(self.states),
            "REPRTUNE_HEARTBEAT_SECONDS": str(BEAT),
            "REPRTUNE_GRACE_SECONDS": str(GRACE),
            "DO_NOT_TRACK": "true",
        }

    def create(self, **changes: Any) -> None:
        """The study, in the database."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            create(self.one.runs, storage=self.url, **{**STUDY_OF_THE_MATRIX, **changes})
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})

    def faults(self, *faults: Fault) -> dict[str, str]:
        """The environment in which they befall."""
        return environment(faults, self.marks)

    def reached(self, point: str) -> int:
        """Wait until a worker has come to the point of its fault; the number of its process."""
        return int(
            wait_for(lambda: (self.marks / point).exists() and (self.marks / point).read_text(), what=point)
        )

    def let_go(self) -> None:
        """Whoever is held goes on."""
        (self.marks / "go").touch()

    def found(self) -> Found:
        return found(self.url, self.mlflow)


class Services:
    """What the rows share, started when first needed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reprtune-faults-")))

    def close(self) -> None:
        self._stack.close()

    @cached_property
    def postgresql(self) -> PostgreSQL:
        return self._stack.enter_context(running_server())

    @cached_property
    def empty_mlflow(self) -> Path:
        from reprtune.tracking.mlflow.connection import connect

        path = self.folder / "mlflow.db"
        connect(f"sqlite:///{path}").search_experiments()
        return path

    @cached_property
    def undisturbed(self) -> Found:
        """What the study comes to when nothing happens."""
        world = World(self)
        try:
            world.create()
            world.one.begin()
            world.one.end(0)
            seen = world.found()
            if (
                len(seen.finished) != SLOTS + 2
                or seen.open
                or not all(s == "FINISHED" for ((s, _),) in seen.runs.values())
            ):
                raise Wrong(f"the undisturbed study is not whole: {seen}")
            return seen
        finally:
            world.close()
