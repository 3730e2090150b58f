"""The objectives of a recorded trial: what its seeds measured, as one number."""

from __future__ import annotations

import math
import statistics

from reprtune.record.schema import TrialRecord


def last_measure(trial: TrialRecord, measure: str) -> float | None:
    """An objective of a complete trial, as a mean over its seeds; of any other what its last seed had at its
    last evaluation.

    What the study minimises is read from `values`, all else from the seeds: in old records histories must have
    been read for that. None when there is no finite number.
    """
    value = (trial.values or {}).get(measure)
    if value is None:
        ends = _ends(trial, measure)
        if trial.outcome == "complete":
            value = statistics.fmean(ends) if len(ends) == len(trial.runs) else None
        else:
            value = ends[-1] if ends else None
    return value if value is not None and math.isfinite(value) else None


def at_the_end(trial: TrialRecord, measure: str) -> float | None:
    """The same, of complete trials only."""
    return last_measure(trial, measure) if trial.outcome == "complete" else None


def seed_spread(trial: TrialRecord, measure: str) -> float | None:
    """Standard deviation of a complete trial's `measure` over its seeds; None with fewer than two."""
    ends = _ends(trial, measure) if trial.outcome == "complete" else []
    return statistics.stdev(ends) if len(ends) > 1 and all(map(math.isfinite, ends)) else None


def _ends(trial: TrialRecord, measure: str) -> list[float]:
    """The measure of every seed that has it."""
    return [run.measured[measure] for run in trial.runs if measure in run.measured]
