"""What one attempt reached, which attempt decides a slot, and when its network was whole."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from reprtune.record.schema import FINAL, TrialRecord
from reprtune.spec.history import History

MEASURES = ("val_error", "train_gflops")
FAILED = ("out-of-memory", "error", "interrupted", "lost", "duplicate")


def last_measure(trial: TrialRecord, measure: str) -> float | None:
    """`val_error` or `train_gflops` at the end of a complete trial, else at its last evaluation.

    Objectives are read from `values`; what the study does not minimise comes from the curves: the mean
    over the seeds of a complete trial. None when there is no finite number.
    """
    value = (trial.values or {}).get(measure)
    if value is None:
        ends = _ends(trial, measure) if trial.outcome == "complete" else _ends(trial, measure)[-1:]
        value = statistics.fmean(ends) if ends else None
    return value if value is not None and math.isfinite(value) else None


def seed_spread(trial: TrialRecord, measure: str) -> float | None:
    """Standard deviation of a complete trial's `measure` over its seeds; None with fewer than two."""
    ends = _ends(trial, measure) if trial.outcome == "complete" else []
    return statistics.stdev(ends) if len(ends) > 1 and all(map(math.isfinite, ends)) else None


def _ends(trial: TrialRecord, measure: str) -> list[float]:
    """The measure of every seed at its last evaluation, the last seed at the end."""
    return [float(value) for run in trial.runs if (value := getattr(run, measure)) is not None]


def end_measure(trial: TrialRecord, measure: str) -> float | None:
    """The same, of complete trials only."""
    return last_measure(trial, measure) if trial.outcome == "complete" else None


def deciding(trials: Iterable[TrialRecord]) -> dict[int, TrialRecord]:
    """Slot -> the attempt that used it up, else the one that waits or runs, else the newest; in slot order."""
    chosen: dict[int, TrialRecord] = {}
    for trial in sorted(
        trials, key=lambda t: (t.outcome in FINAL, t.outcome in ("waiting", "running"), t.number)
    ):
        chosen[trial.slot] = trial
    return dict(sorted(chosen.items()))


def n_failed(counts: dict[str, int]) -> int:
    """How many attempts in `counts` (outcome -> number) ended without a result."""
    return sum(counts.get(outcome, 0) for outcome in FAILED)


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
