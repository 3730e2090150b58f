"""The same after every period."""

from __future__ import annotations

import math

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.schedules import Every
from reprtune.training.parts.schedules import Event, tenths


def events(schedule: Every, method: MethodSpec, total: int, steps_per_epoch: int) -> tuple[Event, ...]:
    """A drop and at once a restore, but not at the very end, where nothing would be trained any more; then an
    exchange, the last one at the end too."""
    period = schedule.period.steps(steps_per_epoch)
    found: list[Event] = []
    for i, stop in enumerate(range(period, math.floor(schedule.until * total) + 1, period)):
        if method.selection is not None and method.restore is not None and stop < total:
            found += [Event("drop", stop, i), Event("restore", stop, i)]
        if method.exchange is not None:
            found.append(Event("exchange", stop, i))
    return tuple(found)


def rungs(schedule: Every, _segment: int, total: int, steps_per_epoch: int) -> tuple[int, ...]:
    """Every tenth of the total, in whole periods."""
    return tenths(total, schedule.period.steps(steps_per_epoch))
