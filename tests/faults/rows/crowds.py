"""Many at once, and machines whose clocks differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.points import Fault
from tests.faults.row import Row
from tests.faults.rows.workers import both
from tests.faults.world import World

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime")


def first(n: int) -> Callable[[World], None]:
    """So many machines create the study in an empty database and an empty MLflow; then all work on it."""

    def script(world: World) -> None:
        Path(world.mlflow.removeprefix("sqlite:///")).unlink()
        machines = [world.one, world.two, *(world.machine(f"m{k}") for k in range(2, n))]
        words = ("study", "create", str(ROOT / "tests" / "faults" / "study.py"))
        for machine in machines:
            machine.begin(*words, env=world.faults(Fault("open", "meet", n=n)))
        made = [machine.ended()[0] for machine in machines]
        assert made.count(0) >= 1 and set(made) <= {0, 1, 2}, made
        for machine in machines:
            machine.begin(env=world.faults(Fault("open", "meet", n=2 * n)))
        for machine in machines:
            machine.end(0)

    return script


def lacks_faketime() -> str:
    """Another clock for one process."""
    return "" if _library() else "needs libfaketime"


def _library() -> str:
    found = (Path(folder) / "libfaketimeMT.so.1" for folder in LIBRARIES)
    return next((str(path) for path in found if path.exists()), "")


def clock(offset: str) -> Callable[[World], None]:
    def script(world: World) -> None:
        fake = {"LD_PRELOAD": _library(), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        world.one.environment = {**world.one.environment, **fake}
        both(world, Fault("state", "hold"))
        world.reached("state")
        world.let_go()
        world.one.end(0)
        world.two.end(0)

    return script


ROWS = (
    Row("first-2", "two are the first in an empty database and an empty MLflow", first(2)),
    Row("first-6", "six are", first(6)),
    Row("clock-ahead", "a worker's clock is an hour ahead", clock("+3600s"), lacks=lacks_faketime),
    Row("clock-behind", "a worker's clock is an hour behind", clock("-3600s"), lacks=lacks_faketime),
)
