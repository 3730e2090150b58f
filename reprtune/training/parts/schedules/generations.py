"""Generations of equal length, each from what the one before leaves."""

from __future__ import annotations

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.schedules import Generations
from reprtune.training.parts.schedules import Event, tenths


def events(
    schedule: Generations, _method: MethodSpec, total: int, _steps_per_epoch: int
) -> tuple[Event, ...]:
    """A new generation after each but the last."""
    n = schedule.generations
    stops = (round(i * total / n) for i in range(1, n))
    return tuple(Event("renew", stop, i) for i, stop in enumerate(stops))


def rungs(_schedule: Generations, segment: int, total: int, _steps_per_epoch: int) -> tuple[int, ...]:
    """Every tenth of the total, in whole segments."""
    return tenths(total, segment)
