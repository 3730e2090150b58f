"""Generations of equal length, each from what the one before leaves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.schedules import Generations
from reprtune.training.parts.schedules import Event, tenths


def events(
    schedule: Generations, _method: MethodSpec, total: int, _steps_per_epoch: int
) -> tuple[Event, ...]:
    """A new generation after each but the last."""
    return tuple(Event("renew", stop, i) for i, stop in enumerate(_ends(schedule, total)))


def rungs(schedule: Generations, segment: int, total: int, _steps_per_epoch: int) -> tuple[int, ...]:
    """The ends of generations, and every tenth of each, in whole segments counted from its beginning: a generation is
    compared like a trial of its length."""
    ends = _ends(schedule, total)
    inner = (
        start + tenth for start, stop in _lengths(ends, total) for tenth in tenths(stop - start, segment)
    )
    return tuple(sorted({*ends, *inner}))


def _ends(schedule: Generations, total: int) -> list[int]:
    """Of all generations but the last."""
    return [round(i * total / schedule.generations) for i in range(1, schedule.generations)]


def _lengths(ends: list[int], total: int) -> Iterator[tuple[int, int]]:
    return itertools.pairwise([0, *ends, total])
