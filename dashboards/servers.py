"""Servers for a person to look at, on this machine only, that end with the program that started them."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboards import guard
from reprtune.errors import SpecError
from reprtune.record.database import for_optuna

HOST = "127.0.0.1"
START_SECONDS = 180.0
END_SECONDS = guard.GRACE_SECONDS + 4
SILENT = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
# The password of a database stands in no command line, where every user of the machine could read it.
DASHBOARD = (
    "import os, sys; from importlib.metadata import entry_points\n"
    "sys.argv = ['optuna-dashboard', os.environ.pop('REPRTUNE_SHOWN'), *sys.argv[1:]]\n"
    "(main,) = entry_points(group='console_scripts', name='optuna-dashboard')\n"
    "main.load()()"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One server: how it is called, where it listens, its words, what it needs in its environment."""

    name: str
    port: int
    words: Sequence[str]
    environment: Mapping[str, str]
    page: str = "/"

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def mlflow_plan(uri: str, artifacts: str | None, port: int) -> Plan:
    """MLflow's UI over the database `uri`; `artifacts` is where experiments made there keep their files."""
    words = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]
    environment = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if artifacts:
        environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = artifacts
    return Plan(name="MLflow", port=port, words=words, environment=environment, page="/health")


def optuna_plan(storage_url: str, port: int) -> Plan:
    """optuna-dashboard over the storage."""
    words = [sys.executable, "-c", DASHBOARD, "--host", HOST, "--port", str(port), "--quiet"]
    return Plan(
        name="optuna-dashboard", port=port, words=words, environment={"REPRTUNE_SHOWN": for_optuna(storage_url)},
        page="/api/meta",
    )  # fmt: skip


class Server:
    """A started server. It ends with `stop`, or when this process ends in whatever way."""

    def __init__(self, plan: Plan, log: Path) -> None:
        """Start it, with its output in the file `log`."""
        self.plan, self.log = plan, log
        with log.open("wb") as out:
            self._guard = subprocess.Popen(  # noqa: S603 - the words are our own
                [sys.executable, "-I", str(guard.__file__), *plan.words],
                env={**os.environ, **SILENT, **plan.environment}, stdin=subprocess.PIPE,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def ended(self) -> bool:
        return self._guard.poll() is not None

    def wait_until_ready(self, seconds: float = START_SECONDS) -> bool:
        """Does it answer within so many seconds? No as soon as it has ended."""
        deadline = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < deadline:
            if answers(self.plan.port, self.plan.page):
                return True
            time.sleep(0.1)
        return False

    def last_words(self) -> str:
        """The last line it wrote that says something."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "it said nothing")

    def close(self) -> None:
        """Tell it to end; `stop` waits for it."""
        if self._guard.stdin:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()

    def stop(self) -> None:
        """End it and all it started."""
        self.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guard.pid, signal.SIGKILL)
        self._guard.wait()


def answers(port: int, page: str) -> bool:
    """Is there a page, whatever proxies the environment names?"""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", page)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ports(first: int | None, names: Sequence[str]) -> list[int]:
    """A free port for each name: `first` and those that follow it, or any.

    Raises:
        SpecError: one of them is taken, or is no port.
    """
    if first is None:
        return _free(len(names))
    chosen = list(range(first, first + len(names)))
    for port, name in zip(chosen, names, strict=True):
        if port > 65535 or not _is_free(port):
            raise SpecError(
                f"port {port} (of --port {first}, for {name}) is taken or not allowed.",
                "Give another one, or leave --port out for free ones.",
            )
    return chosen


def _free(n: int) -> list[int]:
    """All are held open until the last is found, so that they differ."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in held:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in held]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not kept from us by a late connection
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def wait_for_any_end(servers: Sequence[Server], say: Callable[[str], None]) -> None:
    """Until Ctrl-C; a server that ends by itself is reported once."""
    alive = list(servers)
    while True:
        for server in [s for s in alive if s.ended()]:
            alive.remove(server)
            say(f"{server.plan.name} has ended: {server.last_words()} (all it said: {server.log})")
        time.sleep(0.5)
