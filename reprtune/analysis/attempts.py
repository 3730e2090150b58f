"""What one attempt reached, which attempt decides a slot, and when its network was whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reprtune.history import History
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import TrialRecord


def deciding(trials: Iterable[TrialRecord]) -> dict[int, TrialRecord]:
    """Slot -> the attempt that used it up, else the one that waits or runs, else the newest; in slot order. A
    failed attempt whose slot was queued again has not."""
    chosen: dict[int, TrialRecord] = {}
    for trial in sorted(trials, key=lambda t: (t.is_final, t.outcome.is_open, t.number)):
        chosen[trial.slot] = trial
    return dict(sorted(chosen.items()))


def n_failed(counts: Mapping[Outcome, int]) -> int:
    """How many attempts in `counts` (outcome -> number) ended without a result."""
    return sum(n for outcome, n in counts.items() if outcome.is_failure)


def sub_phases(history: History) -> list[tuple[int, int]]:
    """(first, last) step of every phase without the dropped filters; several networks have the same.

    A phase without a restore ends at the last evaluation: the trial was cut short or is still in it.
    """
    ends = {restore.cycle: restore.step for restore in history.restores_of()}
    last = history.points[-1].step if history.points else 0
    return [(drop.step, ends.get(drop.cycle, max(last, drop.step))) for drop in history.drops_of()]


def seconds_spent(trials: Iterable[TrialRecord]) -> float:
    """Sum over all attempts that wrote it."""
    return float(sum(float(t.result.get("seconds_spent") or 0) for t in trials))


def seconds_alone(trials: Iterable[TrialRecord]) -> float:
    """What the slots of one part of a study would have taken without sharing: an attempt that was taken up
    again counts from its first step each time, so of each slot the attempt that got furthest."""
    of_slot: dict[int, float] = {}
    for trial in trials:
        alone = float(trial.result.get("seconds_alone") or 0)
        of_slot[trial.slot] = max(alone, of_slot.get(trial.slot, 0.0))
    return float(sum(of_slot.values()))
