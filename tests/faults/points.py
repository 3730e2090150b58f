"""Named points of a worker process, and what can befall it there.

The program that starts the worker says so in its environment, and `inject/sitecustomize.py`, which Python imports by
itself, wraps the call as soon as its module is loaded: the worker is the real one, started by its own command.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

VARIABLE = "TESTS_FAULTS"
LAST = "search-0005"  # the journal of the last slot of the matrix's study


def _always(_args: Sequence[Any], _named: dict[str, Any]) -> bool:
    return True


def _takes(_args: Sequence[Any], named: dict[str, Any]) -> bool:
    return getattr(named.get("state"), "name", "") == "RUNNING"


def _is_state(args: Sequence[Any], _named: dict[str, Any]) -> bool:
    return str(args[1]).endswith(".state")


def _is_last(args: Sequence[Any], _named: dict[str, Any]) -> bool:
    return args[0].key == LAST


@dataclass(frozen=True)
class Point:
    """Before a call.

    Args:
        what: in words, after "kill -9". target: module, colon, the name of the call. nth: of the calls that count.
        only_workers: the others are never struck.
    """

    what: str
    target: str
    nth: int = 1
    counts: Callable[[Sequence[Any], dict[str, Any]], bool] = _always
    only_workers: bool = True


QUEUE, STORAGE = "reprtune.work.queue", "optuna.storages:RDBStorage"
POINTS = {
    "open": Point(
        "before it opens the database", "reprtune.record.database:_make_tables", only_workers=False
    ),
    "take": Point("before it asks for a slot", f"{QUEUE}:Queue.take"),
    "ask": Point(
        "while it asks for a slot, holding the lock", f"{STORAGE}.set_trial_state_values", counts=_takes
    ),
    "beat": Point("before its first beat", f"{STORAGE}.record_heartbeat"),
    "draw": Point("in a draw, between two parameters", f"{QUEUE}:suggest", nth=2),
    "written": Point(
        "while it writes a draw, holding the trial", "reprtune.record.optuna_private.drawing:insert"
    ),
    "train": Point("while it trains", "reprtune.training.chain.trial_networks:TrialNetworks.apply_event"),
    "state": Point("while it writes a state", "reprtune.files:os.replace", nth=3, counts=_is_state),
    "tell": Point("between its last state and `tell`", f"{QUEUE}:Queue.tell"),
    "journal": Point(
        "between `tell` and its journal", "reprtune.work.seed_training:SeedTraining.end_journal"
    ),
    "last": Point(
        "during the last trial", "reprtune.work.run_journal:RunJournal.write_points", counts=_is_last
    ),
}


@dataclass(frozen=True)
class Fault:
    """What happens at a point.

    Args:
        act: `kill`, `stop` (SIGSTOP) or `hang` this process, kill the whole `machine`, `hold` it until it is let go,
            `meet` `n` others there, or `fail` whenever it comes there.
        nth: None = the point's own.
    """

    point: str
    act: str
    nth: int | None = None
    n: int = 1


def environment(faults: Sequence[Fault], marks: Path) -> dict[str, str]:
    """Of a process that is to be struck. Once in all: who comes there next, in whatever process, goes on.

    Args:
        marks: folder of what is told of it: a file named as the point with the number of the process; what is held
            goes on once there is one named `go`.
    """
    folder = Path(__file__).parent
    path = os.pathsep.join([str(folder / "inject"), str(folder.parents[1])])
    told = {"faults": [vars(fault) for fault in faults], "marks": str(marks)}
    return {VARIABLE: json.dumps(told), "PYTHONPATH": path}


def install() -> None:
    """Let the faults of the environment come about in this process."""
    told = json.loads(os.environ[VARIABLE])
    wanted: dict[str, list[Fault]] = {}
    for fault in (Fault(**one) for one in told["faults"]):
        wanted.setdefault(POINTS[fault.point].target.partition(":")[0], []).append(fault)
    sys.meta_path.insert(0, _Finder(wanted, Path(told["marks"])))


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the calls of modules as they are loaded."""

    def __init__(self, wanted: dict[str, list[Fault]], marks: Path) -> None:
        self._wanted, self._marks = wanted, marks

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        faults = self._wanted.get(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if faults else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def loaded(module: ModuleType) -> None:
            load(module)
            for fault in faults or ():
                _wrap(module, fault, self._marks)

        spec.loader.exec_module = loaded  # type: ignore[method-assign]
        return spec


def _wrap(module: ModuleType, fault: Fault, marks: Path) -> None:
    point = POINTS[fault.point]
    *path, name = point.target.partition(":")[2].split(".")
    owner: Any = module
    for part in path:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), []
    nth = fault.nth or point.nth

    def call(*args: Any, **named: Any) -> Any:
        is_worker = multiprocessing.current_process().name != "MainProcess"
        if (is_worker or not point.only_workers) and point.counts(args, named):
            calls.append(1)
            if fault.act == "fail":
                raise RuntimeError("a kernel is missing")
            if len(calls) == nth:
                _strike(fault, marks)
        return original(*args, **named)

    setattr(owner, name, call)


def _strike(fault: Fault, marks: Path) -> None:
    pid = os.getpid()
    if fault.act == "meet":
        (marks / f"met.{pid}").touch()
        _wait(lambda: len(list(marks.glob("met.*"))) >= fault.n)
        return
    try:
        with (marks / f"{fault.point}.{pid}").open("x") as file:
            file.write(str(pid))
        os.link(marks / f"{fault.point}.{pid}", marks / fault.point)  # whole, or not there
    except FileExistsError:
        return
    if fault.act == "kill":
        os.kill(pid, signal.SIGKILL)
    elif fault.act == "machine":
        os.killpg(0, signal.SIGKILL)
    elif fault.act == "stop":
        os.kill(pid, signal.SIGSTOP)
    elif fault.act == "hang":
        with contextlib.suppress(ValueError):
            time.sleep(3600)
    elif fault.act == "hold":
        _wait((marks / "go").exists)


def _wait(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.02)
