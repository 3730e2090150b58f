"""The soak: many workers on one study for half an hour, and something goes wrong all the time.

    python -m tests.faults.soak --minutes 30 --workers 6 --every 20

Each worker is a machine with a runs folder of its own, on PostgreSQL and an MLflow server. After the last fault the study
is worked on to its end. Then Optuna and MLflow are asked what they hold: every slot finished exactly once, nothing that
runs or waits, every run there once; and the weights and numbers of some slots are those of a run that nothing happened to.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from reprtune.spec.study import Search, StudySpec
from tests.faults.study import STUDY
from tests.faults.world import GRACE, Machine, Services, World
from tests.postgres import PostgreSQL, running_server
from tests.tracking.mlflow_server import Server

KINDS = ("kill", "stop", "term", "database", "mlflow")
AWAY_SECONDS = (2, 12)  # of a service, at least and at most
PATIENCE = 1800  # for what is left when the faults are over


def study_of(slots: int) -> StudySpec:
    """The matrix's, with so many slots."""
    arms, search = STUDY.sections
    assert isinstance(search, Search)
    return replace(STUDY, sections=(arms, replace(search, slots=slots, sampler="random")))


class Soak:
    """Args: world: with a study. n: workers. draws: of what happens, and to whom."""

    def __init__(
        self, world: World, n: int, draws: random.Random, database: PostgreSQL, server: Server
    ) -> None:
        self.world, self.draws, self.database, self.server = world, draws, database, server
        self.machines = [world.machine(f"m{k}") for k in range(n)]
        self.codes: Counter[int] = Counter()
        self.happened: Counter[str] = Counter()
        self.memory: dict[str, list[tuple[float, float]]] = {}  # process -> (minute, MiB)
        self.tracebacks: list[str] = []
        self.outages: list[threading.Thread] = []
        self._outage = threading.Lock()
        self._began = time.monotonic()

    def begin(self, machine: Machine) -> None:
        folder = machine.runs
        out = (folder / "said.txt").open("a")
        machine.begin_into(out)
        out.close()

    def look(self) -> None:
        """Start those again that have ended, and write down how much memory all have."""
        minute = (time.monotonic() - self._began) / 60
        for machine in self.machines:
            if machine.process.poll() is not None:
                self.codes[int(machine.process.returncode)] += 1
                self.begin(machine)
                continue
            for process in [psutil.Process(machine.process.pid), *_children(machine.process.pid)]:
                with contextlib.suppress(psutil.Error):
                    kind = "supervisor" if process.pid == machine.process.pid else "worker"
                    name = f"{kind} {process.pid}"
                    self.memory.setdefault(name, []).append((minute, process.memory_info().rss / 2**20))

    def fault(self) -> str:
        """Something goes wrong."""
        kind, machine = self.draws.choice(KINDS), self.draws.choice(self.machines)
        seconds = self.draws.uniform(*AWAY_SECONDS)
        workers = list(_children(machine.process.pid))
        if kind in ("kill", "stop", "term") and not workers:
            kind = "nobody there"
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if kind == "kill":
                os.kill(workers[0].pid, signal.SIGKILL)
            elif kind == "stop":
                os.kill(workers[0].pid, signal.SIGSTOP)
                threading.Timer(GRACE + seconds, _go_on, [workers[0].pid]).start()
            elif kind == "term":
                machine.process.send_signal(signal.SIGTERM)
        if kind in ("database", "mlflow"):
            self._away(kind, seconds)
        self.happened[kind] += 1
        return f"{kind} {machine.name}"

    def _away(self, kind: str, seconds: float) -> None:
        """Stop a service for so long, beside all else; one at a time."""
        service: Any = self.database if kind == "database" else self.server

        def outage() -> None:
            with self._outage:
                (service.stop if kind == "database" else service.kill)()
                time.sleep(seconds)
                service.start()

        thread = threading.Thread(target=outage)
        self.outages.append(thread)
        thread.start()


def _children(pid: int) -> Iterator[psutil.Process]:
    """Worker processes of a supervisor."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    yield child


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def growth(memory: dict[str, list[tuple[float, float]]], minutes: float = 4.0) -> dict[str, dict[str, float]]:
    """Of the longest-lived processes of each kind: MiB after its first minute, and at its end."""
    found = {}
    for name, seen in sorted(memory.items()):
        settled = [mib for minute, mib in seen if minute - seen[0][0] >= 1.0]
        lived = seen[-1][0] - seen[0][0]
        if lived >= minutes and settled:
            third = max(1, len(settled) // 3)
            first, last = sum(settled[:third]) / third, sum(settled[-third:]) / third
            found[name] = {
                "minutes": round(lived, 1),
                "first": round(first),
                "last": round(last),
                "most": round(max(settled)),
            }
    return found


def defects(world: World, slots: int, whole: dict[str, Any]) -> Iterator[str]:
    """What is wrong with what Optuna and MLflow hold."""
    seen = world.found()
    yield from seen.open
    search = {slot[1]: came for slot, came in seen.finished.items() if slot[0] == STUDY.name}
    yield from (
        f"slot {n} was finished {len(search.get(n, []))} times"
        for n in range(slots)
        if len(search.get(n, [])) != 1
    )
    if len(seen.finished) != slots + 2:
        yield f"{len(seen.finished)} slots were finished, of {slots + 2}"
    if len(seen.runs) != slots + 3:
        yield f"{len(seen.runs)} names of runs in MLflow, and not {slots + 3}"
    for name, runs in seen.runs.items():
        if len(runs) != 1:
            yield f"{len(runs)} runs in MLflow are called {name!r}"
        elif runs[0][0] != "FINISHED" or (name != STUDY.name and not runs[0][1]):
            yield f"run {name!r} is {runs[0][0]}, with weights {runs[0][1][:8]!r}"
        elif name in whole["runs"] and whole["runs"][name] != runs:
            yield f"run {name!r} has other weights than undisturbed"
    for slot, came in whole["finished"].items():
        if slot in seen.finished and seen.finished[slot] != came:
            yield f"{slot} came to {seen.finished[slot]}, and undisturbed to {came}"
    whole["attempts"] = seen.attempts


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--every", type=float, default=20, help="seconds between two faults")
    parser.add_argument("--slots", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        services = stack.enter_context(contextlib.closing(Services()))
        database = stack.enter_context(running_server())
        world = World(services, url=database.new())
        stack.callback(world.close)
        server = Server(world.folder)
        stack.callback(server.kill)
        server.start()
        world.mlflow = server.uri
        world.create(study_of(given.slots))
        soak = Soak(world, given.workers, random.Random(given.seed), database, server)
        report = run(soak, given)
        seen = services.undisturbed
        whole = {"finished": seen.finished, "runs": {k: v for k, v in seen.runs.items() if k != STUDY.name}}
        report["wrong"] = [*defects(world, given.slots, whole), *soak.tracebacks]
        report["attempts"] = whole["attempts"]
    print(json.dumps(report, indent=1))
    if given.json:
        given.json.write_text(json.dumps(report, indent=1))
    return int(bool(report["wrong"]))


def run(soak: Soak, given: argparse.Namespace) -> dict[str, Any]:
    """Faults for so many minutes; then what is left, undisturbed."""
    began = time.monotonic()
    for machine in soak.machines:
        soak.begin(machine)
    next_fault = began + 2 * given.every
    while time.monotonic() < began + 60 * given.minutes:
        soak.look()
        if time.monotonic() >= next_fault:
            next_fault += given.every
            print(f"{(time.monotonic() - began) / 60:5.1f} min  {soak.fault()}", flush=True)
        time.sleep(1)
    faulty = time.monotonic() - began
    for outage in soak.outages:
        outage.join()
    time.sleep(GRACE + AWAY_SECONDS[1] + 1)  # the last that stand still go on
    for machine in soak.machines:
        if machine.process.poll() is not None:
            soak.begin(machine)
    deadline = time.monotonic() + PATIENCE
    for machine in soak.machines:
        machine.process.wait(max(1, deadline - time.monotonic()))
        soak.codes[int(machine.process.returncode)] += 1
    for machine in soak.machines:
        if "Traceback" in (text := (machine.runs / "said.txt").read_text()):
            soak.tracebacks.append(
                f"machine {machine.name} printed a traceback: {text[text.index('Traceback') :][:2000]}"
            )
    return {
        "minutes": round(faulty / 60, 1), "minutes_in_all": round((time.monotonic() - began) / 60, 1),
        "workers": given.workers, "every": given.every, "seed": given.seed, "slots": given.slots,
        "faults": dict(soak.happened), "codes": dict(soak.codes), "memory": growth(soak.memory),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
