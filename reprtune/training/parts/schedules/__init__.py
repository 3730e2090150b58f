"""When what happens.

A schedule is a module with `events(schedule, method, total, steps_per_epoch)`, all that happens in a trial of `total`
steps, in its order, and `rungs(schedule, segment, total, steps_per_epoch)`, the steps at which it may be compared with
others and stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TENTHS = 10  # rungs of a trial without cycles, about

Kind = Literal["begin", "drop", "restore", "exchange", "renew", "end"]


@dataclass(frozen=True)
class Event:
    """Something that happens between two steps, after `stop` optimizer steps.

    Attributes:
        kind: `begin` = who is taken is chosen, for what acts within segments; `drop`; `restore`; `exchange` between
            the members; `renew` = a new generation begins; `end` = once, after the last step.
        cycle: how often it has happened before.
    """

    kind: Kind
    stop: int
    cycle: int


def tenths(total: int, period: int) -> tuple[int, ...]:
    """Every tenth of the total, in whole periods, the end left out."""
    tenth = max(1, round(total / TENTHS / period)) * period
    return tuple(range(tenth, total, tenth))
