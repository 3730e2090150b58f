"""A row of the matrix, and what came of it."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.verdict import defects
from tests.faults.world import Services, World, Wrong


def possible() -> str:
    """Nothing is missing."""
    return ""


@dataclass(frozen=True)
class Row:
    """A fault.

    Args:
        name: as `--rows` takes it. what: happens. script: lets it happen to a world, and waits for its end.
        said: what the machine it befalls must have said, a pattern. lacks: what cannot be done here, or nothing.
    """

    name: str
    what: str
    script: Callable[[World], None]
    said: str = ""
    lacks: Callable[[], str] = possible


@dataclass
class Outcome:
    """`verdict`: ok, FAULT, or not run. `wrong`: why. `said`: what matched, of what the machine said."""

    row: Row
    verdict: str = "ok"
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    attempts: int = 0
    said: str = ""


def tried(row: Row, services: Services) -> Outcome:
    """Let the fault of a row happen, and judge."""
    if lacking := row.lacks():
        return Outcome(row, "not run", [lacking])
    outcome, began = Outcome(row), time.monotonic()
    world = World(services)
    try:
        row.script(world)
        seen = world.found()
        outcome.attempts = seen.attempts
        outcome.wrong = [*defects(seen, services.undisturbed), *_harmed(world, seen.lost)]
        outcome.said = _said(row, world)
        if row.said and not outcome.said:
            outcome.wrong.append(f"machine one did not say {row.said!r}, but: {world.one.err}")
    except Wrong as wrong:
        outcome.wrong = [str(wrong)]
    except Exception:  # noqa: BLE001 - a defect of the row itself is a FAULT too, and the next row is tried
        outcome.wrong = [traceback.format_exc()]
    finally:
        world.close()
    outcome.seconds = time.monotonic() - began
    outcome.verdict = "FAULT" if outcome.wrong else "ok"
    return outcome


def _harmed(world: World, lost: list[str]) -> list[str]:
    """What befell machines that nothing was to befall."""
    wrong = []
    for machine in world.unharmed:
        if re.search(r"Worker \d+ ended", machine.err):
            wrong.append(f"a worker of machine {machine.name} ended: {machine.err}")
        wrong += [f"machine {machine.name} lost a slot" for worker in lost if worker in machine.workers]
    return wrong


def _said(row: Row, world: World) -> str:
    """The sentence that matched, or the line it is in."""
    if not row.said:
        return ""
    every = "\n".join(machine.every for machine in (world.one, world.two))
    match = re.search(row.said, every)
    if match is None:
        return ""
    start, end = every.rfind("\n", 0, match.start()) + 1, every.find("\n", match.end())
    return every[start : end if end >= 0 else None].strip()
