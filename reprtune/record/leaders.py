"""The leaders of a search: what a confirmation trains again."""

from __future__ import annotations

import math
import statistics

from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest

PREFIX = "slot-"  # the arm of a leader in the confirmation: `slot-17`


def leader_arm(slot: int) -> str:
    return f"{PREFIX}{slot}"


def leader_slot(arm: str) -> int | None:
    """The slot of the search that an arm of the confirmation is; None for a control."""
    number = arm.removeprefix(PREFIX)
    return int(number) if arm.startswith(PREFIX) and number.isdecimal() else None


def at_the_end(trial: TrialRecord, measure: str) -> float | None:
    """`val_error` or `train_gflops` of a complete trial, the mean over its seeds; None when it is not
    known: where the study does not minimise it, histories must have been read."""
    if trial.outcome != "complete":
        return None
    if (value := (trial.values or {}).get(measure)) is None:
        found = [getattr(run, measure) for run in trial.runs]
        value = statistics.fmean(found) if None not in found else None
    return value if value is not None and math.isfinite(value) else None


def ranked(study: StudyRecord) -> list[TrialRecord]:
    """Complete trials of the search with different settings, lowest mean validation error first; of
    equals the cheapest, then the earliest."""
    rows = []
    for trial in study.trials:
        if (error := at_the_end(trial, "val_error")) is not None:
            cost = at_the_end(trial, "train_gflops")
            rows.append((error, math.inf if cost is None else cost, trial.number, trial))
    seen: dict[str, TrialRecord] = {}
    for *_, trial in sorted(rows, key=lambda row: row[:3]):
        seen.setdefault(digest(study.spec.trial(trial.params)), trial)
    return list(seen.values())
