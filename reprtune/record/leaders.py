"""The leaders of a search: what a confirmation trains again."""

from __future__ import annotations

from reprtune.record.ranking import best_first
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest

PREFIX = "slot-"  # the arm of a leader in the confirmation: `slot-17`


def leader_arm(slot: int) -> str:
    return f"{PREFIX}{slot}"


def leader_slot(arm: str) -> int | None:
    """The slot of the search that an arm of the confirmation is; None for a control."""
    number = arm.removeprefix(PREFIX)
    return int(number) if arm.startswith(PREFIX) and number.isdecimal() else None


def is_confirmed(study: StudyRecord, slot: int) -> bool:
    """Is some run of this slot in the confirmation complete?"""
    return any(t.arm == leader_arm(slot) and t.outcome == "complete" for t in study.confirmation)


def leaders(study: StudyRecord, top: int) -> list[TrialRecord]:
    """The `top` best complete trials of the search with different settings, the best first."""
    seen: dict[str, TrialRecord] = {}
    for trial in ranked(study):
        if len(seen) >= top:
            break
        seen.setdefault(digest(study.spec.trial(trial.params)), trial)
    return list(seen.values())


def ranked(study: StudyRecord) -> list[TrialRecord]:
    """All settings of the search that may be confirmed, lowest error first: whatever the search minimises, it is
    errors that a confirmation compares."""
    return best_first(joined(study.trials), study.spec.compared)
