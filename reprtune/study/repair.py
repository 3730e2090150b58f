"""Slots that failed, queued again: the failed attempt stays in the record and counts no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from optuna.storages import RDBStorage

from reprtune.errors import StudyError
from reprtune.record.locks import study_lock
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.slots import find_slot, slot_name
from reprtune.record.storage import mark_repaired, read_study
from reprtune.record.view import StudyView
from reprtune.study.queueing import refill_locked


@dataclass(frozen=True)
class Repaired:
    """The names of the slots that were queued again."""

    slots: tuple[str, ...]


def repair_study(storage: RDBStorage, name: str, slots: Sequence[str] = ()) -> Repaired:
    """Queue the failed slots of a study again, or those that are named. A slot of a search keeps what was drawn
    for it, and goes on from its last state.

    Raises:
        StudyError: there is no such study or slot, a slot that is named has not failed, or the search has used up
            what it may spend.
    """
    with study_lock(storage, name):
        study = read_study(storage, name, histories=False)
        chosen = _once(_failed(study, slot) for slot in slots) if slots else failed(study)
        _check_budget(study, chosen)
        for section in {trial.section for trial in chosen}:
            mark_repaired(storage, name, section, [t.number for t in chosen if t.section == section])
        if chosen:
            refill_locked(StudyView(storage, name))
    return Repaired(tuple(map(slot_name, chosen)))


def failed(study: StudyRecord) -> list[TrialRecord]:
    """The attempts by which a slot was used up without a result, for a reason that may be gone."""
    return [trial for trial in study.everything if trial.is_final and trial.outcome.is_broken]


def _check_budget(study: StudyRecord, chosen: Iterable[TrialRecord]) -> None:
    """A slot of a search without seconds or GFLOPs would be ended as it is taken, and its failure forgotten."""
    drawn = [slot_name(trial) for trial in chosen if trial.is_drawn]
    if drawn and study.is_over_budget():
        others = ", ".join(slot_name(trial) for trial in failed(study) if not trial.is_drawn)
        raise StudyError(
            f"The search of {study.spec.name!r} has used up its seconds or GFLOPs, so that {', '.join(drawn)} would "
            "not be trained.",
            f"Name with --slot those of arms that failed: {others}."
            if others
            else "Nothing else has failed.",
        )


def _once(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """A slot has several names."""
    return list({(trial.section, trial.number): trial for trial in trials}.values())


def _failed(study: StudyRecord, name: str) -> TrialRecord:
    trial = find_slot(study, name)
    if not (trial.is_final and trial.outcome.is_broken):
        said = ", ".join(map(slot_name, failed(study)))
        raise StudyError(
            f"Slot {name} of {study.spec.name!r} has not failed: it is {trial.outcome}.",
            f"Failed have: {said}." if said else "None of its slots has failed.",
        )
    return trial
