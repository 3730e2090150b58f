"""The leaders of a search: what a confirmation trains again."""

from __future__ import annotations

import math

from reprtune.record.measures import at_the_end
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest
from reprtune.spec.objectives import COST, ERROR

PREFIX = "slot-"  # the arm of a leader in the confirmation: `slot-17`


def leader_arm(slot: int) -> str:
    return f"{PREFIX}{slot}"


def leader_slot(arm: str) -> int | None:
    """The slot of the search that an arm of the confirmation is; None for a control."""
    number = arm.removeprefix(PREFIX)
    return int(number) if arm.startswith(PREFIX) and number.isdecimal() else None


def rank(trial: TrialRecord) -> tuple[float, float, int]:
    """Sorts complete trials: lowest mean validation error first; of equals the cheapest, then the earliest."""
    error, cost = (at_the_end(trial, measure) for measure in (ERROR, COST))
    return math.inf if error is None else error, math.inf if cost is None else cost, trial.number


def leaders(study: StudyRecord, top: int) -> list[TrialRecord]:
    """The `top` best complete trials of the search with different settings, the best first."""
    seen: dict[str, TrialRecord] = {}
    for trial in ranked(study):
        if len(seen) >= top:
            break
        seen.setdefault(digest(study.spec.trial(trial.params)), trial)
    return list(seen.values())


def ranked(study: StudyRecord) -> list[TrialRecord]:
    """All settings of the search that may be confirmed, the best first."""
    return sorted((t for t in joined(study.trials) if at_the_end(t, ERROR) is not None), key=rank)
