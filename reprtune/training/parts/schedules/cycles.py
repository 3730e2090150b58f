"""Cycles of a full phase, a drop, a phase of the sub-network, and a restore."""

from __future__ import annotations

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.members import KeepTied
from reprtune.spec.parts.schedules import Cycles
from reprtune.training.parts.schedules import Event


def events(schedule: Cycles, method: MethodSpec, total: int, steps_per_epoch: int) -> tuple[Event, ...]:
    """As `cycles`, where the method takes somebody; without the last restore where what is tied is kept so."""
    if method.selection is None:
        return ()
    found = cycles(schedule, total, steps_per_epoch)
    stays = isinstance(method.ending, KeepTied) and found and found[-1].kind == "restore"
    return found[:-1] if stays else found


def cycles(schedule: Cycles, total: int, steps_per_epoch: int) -> tuple[Event, ...]:
    """Drops and restores in turn. What would be restored at the very end would never be trained or measured:
    there the trial ends as the sub-network, or, with s2 = 0, without the last drop too."""
    s1, s2 = schedule.steps(steps_per_epoch)
    found: list[Event] = []
    for cycle in range(schedule.cycles):
        start = cycle * (s1 + s2)
        found += [Event("drop", start + s1, cycle), Event("restore", start + s1 + s2, cycle)]
    return tuple(event for event in found if event.stop < total)


def rungs(schedule: Cycles, _segment: int, total: int, steps_per_epoch: int) -> tuple[int, ...]:
    """The whole network just before the second and each later drop (never before the first full cycle), then
    every cycle length."""
    s1, s2 = schedule.steps(steps_per_epoch)
    return tuple(range(s1 + s2 + s1, total, s1 + s2))
