"""One phase, from a share of the total to the end."""

from __future__ import annotations

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.schedules import Phase
from reprtune.training.parts.schedules import Event, tenths


def events(schedule: Phase, method: MethodSpec, total: int, _steps_per_epoch: int) -> tuple[Event, ...]:
    """At its start a drop, where the method has one, else the choice of those that the rest of the method works
    on."""
    start = min(round(schedule.start * total), total - 1)
    return (Event("begin" if method.drop is None else "drop", start, 0),)


def rungs(_schedule: Phase, segment: int, total: int, _steps_per_epoch: int) -> tuple[int, ...]:
    """Every tenth of the total, in whole segments."""
    return tenths(total, segment)
