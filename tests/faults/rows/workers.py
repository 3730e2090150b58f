"""What befalls workers and their supervisors."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.points import POINTS, Fault
from tests.faults.row import Row
from tests.faults.world import GRACE, World, wait_for

AT = ("ask", "beat", "draw", "written", "train", "state", "tell", "journal", "last")
REPLACED = r"Worker 0 ended by SIGKILL; its slot is queued again, and another worker takes its place"


def both(world: World, *faults: Fault) -> None:
    """Start both machines, and wait until the fault has come about on the first; the second waits for that."""
    world.create()
    world.two.begin(env=world.faults(Fault("take", "hold")))
    world.one.begin(env=world.faults(*faults))
    world.two.worker()
    world.reached("take")


def killed(point: str) -> Callable[[World], None]:
    def script(world: World) -> None:
        both(world, Fault(point, "kill"))
        world.reached(point)
        world.let_go()
        world.one.end(0)
        world.two.end(0)

    return script


def stopped(point: str) -> Callable[[World], None]:
    def script(world: World) -> None:
        both(world, Fault(point, "stop"))
        pid = world.reached(point)
        wait_for(lambda: stands_still(pid))
        world.let_go()
        time.sleep(GRACE + 4)
        os.kill(pid, signal.SIGCONT)
        world.one.end(0)
        world.two.end(0)

    return script


def stands_still(pid: int) -> bool:
    """As the kernel says."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def machine_lost(world: World) -> None:
    """Its supervisor too, and with it its journal."""
    both(world, Fault("journal", "machine"))
    world.reached("journal")
    world.one.end(-signal.SIGKILL)
    world.let_go()
    world.two.end(0)


def supervisor_stopped(world: World) -> None:
    both(world, Fault("train", "hold"))
    world.reached("train")
    os.kill(world.one.process.pid, signal.SIGSTOP)
    world.let_go()
    time.sleep(GRACE + 4)
    os.kill(world.one.process.pid, signal.SIGCONT)
    world.one.end(0)
    world.two.end(0)


def supervisor_killed(world: World) -> None:
    """Its worker finds itself alone, gives its slot back and leaves."""
    both(world, Fault("train", "hold"))
    pid = world.reached("train")
    os.kill(world.one.process.pid, signal.SIGKILL)
    world.let_go()
    world.one.end(-signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 30, "the end of the worker without supervisor")
    world.two.end(0)


def failing(world: World) -> None:
    """Three slots of its own, and no more; the other goes on. Then they are repaired, by the words that were said."""
    both(world, Fault("train", "fail"))
    world.one.end(1, r"3 slots in a row failed", r"study repair tiny")
    world.let_go()
    world.two.end(0)
    world.two.begin("study", "run", "tiny")
    world.two.end(1, r"3 of 8 slots of 'tiny' ended in errors", r"study repair tiny")
    world.two.begin("study", "repair", "tiny")
    world.two.end(0)
    world.two.begin()
    world.two.end(0)


def hanging(world: World) -> None:
    world.one.environment = {**world.one.environment, "REPRTUNE_HANG_SECONDS": "5"}
    both(world, Fault("train", "hang"))
    world.reached("train")
    world.one.end(0)
    world.let_go()
    world.two.end(0)


ROWS = (
    *(
        Row(f"kill-{point}", f"kill -9 {POINTS[point].what}", killed(point), REPLACED)
        for point in AT
    ),
    *(
        Row(f"stop-{point}", f"SIGSTOP {POINTS[point].what}, past the lease, and back", stopped(point))
        for point in AT
    ),
    Row("machine", "a machine gone with its journal, between `tell` and its journal", machine_lost),
    Row("supervisor-stop", f"the supervisor stopped for {GRACE + 4} s, and back", supervisor_stopped),
    Row("supervisor-kill", "kill -9 of the supervisor", supervisor_killed),
    Row("failing", "every training of a worker raises", failing, r"study repair tiny"),
    Row(
        "hang", "a training stands still while its worker's heart beats", hanging,
        r"stood still: no progress for .*; its slot is queued again, and another worker takes its place",
    ),
)  # fmt: skip
