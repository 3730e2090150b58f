"""Many at once, and machines whose clocks differ."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.points import Fault
from tests.faults.row import Row
from tests.faults.rows.workers import both
from tests.faults.world import World


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


def lacks_clock() -> str:
    """Another time of day for one process: what Python asks for it is compiled here, a dozen lines."""
    return "" if shutil.which("cc") else "needs a C compiler (cc)"


def clock(seconds: int) -> Callable[[World], None]:
    def script(world: World) -> None:
        library = world.folder / "clock.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, Path(__file__).parents[1] / "clock.c"], check=True
        )
        other = {"LD_PRELOAD": str(library), "TESTS_CLOCK": str(seconds)}
        world.one.environment = {**world.one.environment, **other}
        both(world, Fault("state", "hold"))
        world.reached("state")
        world.let_go()
        world.one.end(0)
        world.two.end(0)

    return script


ROWS = (
    Row("first-2", "two are the first in an empty database and an empty MLflow", first(2)),
    Row("first-6", "six are", first(6)),
    Row("clock-ahead", "a worker's clock is an hour ahead", clock(3600), lacks=lacks_clock),
    Row("clock-behind", "a worker's clock is an hour behind", clock(-3600), lacks=lacks_clock),
)
