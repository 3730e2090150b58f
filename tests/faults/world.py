"""What a fault befalls: two machines that work on one study, with a real database and a real MLflow."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from tests.command import Command
from tests.faults.points import Fault, environment
from tests.faults.study import SLOTS, STUDY
from tests.faults.verdict import Found, found
from tests.postgres import PostgreSQL, running_server
from tests.work.tiny_worker import create, work

BEAT, GRACE = 1, 20  # seconds; on a busy machine a beat may take some
SECONDS = 900  # for what takes half a minute on an idle machine

ALONE = threading.Lock()  # of rows that are tried at the same time


class Wrong(AssertionError):  # noqa: N818 - as a person says it
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

    def begin_into(self, said: IO[str]) -> None:
        """Start its worker, which prints into that file: for those that run for long."""
        words = [sys.executable, str(self.checkout / "cli.py"), "worker", "tiny"]
        self.started.append(
            subprocess.Popen(
                words, cwd=self.folder, env=self._environment(), stdout=said, stderr=said, text=True,
                start_new_session=True,
            )
        )  # fmt: skip

    def ended(self) -> tuple[int, str]:
        """Wait for its end: the exit code, and what it printed."""
        try:
            out, self.err = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            out, self.err = self.process.communicate()
            raise Wrong(f"machine {self.name} did not end:\n{out}\n{self.err}") from None
        self.every += self.err
        return self.process.returncode, f"{out}\n{self.err}"

    def end(self, code: int, *said: str) -> None:
        """Wait for its end, which must be with this code; `said`: patterns of what it must have printed."""
        was, printed = self.ended()
        if was != code:
            raise Wrong(f"machine {self.name} ended with {was}, not {code}:\n{printed}")
        if "Traceback" in self.err:
            raise Wrong(f"machine {self.name} printed a traceback:\n{self.err}")
        for pattern in said:
            if not re.search(pattern, self.err):
                raise Wrong(f"machine {self.name} did not say {pattern!r}, but:\n{printed}")

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
        self.folder.chmod(0o755)  # a server that root starts runs as another user
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

    def create(self, spec: StudySpec = STUDY) -> None:
        """The study, in the database."""
        with ALONE, patch.dict(os.environ, self.environment):
            create(self.one.runs, storage=self.url, spec=spec)

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
    """What the rows share.

    Attributes:
        postgresql: a server. empty_mlflow: a database of MLflow with nothing in it. undisturbed: what the study comes
            to when nothing happens.
    """

    def __init__(self, postgresql: PostgreSQL | None = None) -> None:
        from reprtune.tracking.mlflow.connection import connect

        self._stack = ExitStack()
        self.postgresql = postgresql or self._stack.enter_context(running_server())
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reprtune-faults-"))
        self.empty_mlflow = Path(folder) / "mlflow.db"
        connect(f"sqlite:///{self.empty_mlflow}").search_experiments()
        self.undisturbed = self._undisturbed(f"sqlite:///{folder}/undisturbed.db")

    def close(self) -> None:
        self._stack.close()

    def _undisturbed(self, url: str) -> Found:
        world = World(self, url=url)
        try:
            world.create()
            with patch.dict(os.environ, world.environment):
                work(Settings.from_environment(runs_dir=world.one.runs))  # here, where all is loaded
            world.one.quick("study", "sync", "tiny")
            seen = world.found()
        finally:
            world.close()
        is_whole = len(seen.finished) == SLOTS + 2 and not seen.open and len(seen.runs) == SLOTS + 3
        if not is_whole or any(run[0][0] != "FINISHED" for run in seen.runs.values()):
            raise Wrong(f"the undisturbed study is not whole: {seen}")
        return seen
