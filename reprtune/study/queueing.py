"""The one place in which a cell becomes a trial in the queue.

Every section is asked what it has to do; a cell of which no attempt counts is queued: one that was never queued, one
whose worker has vanished or had to leave, one that failed and is to be repaired. A slot whose parameters were
drawn keeps them, and so goes on from its last state. All of it happens under the study's lock, and may be done at
any time, by anybody, any number of times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from reprtune.record.optuna_private.queueing import FIXED, Queued, drawn_params, enqueue
from reprtune.record.optuna_private.trials import trial_id
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import section_study
from reprtune.record.trials import FIRST_SEED, REPEATS, SEED_PREFIX, SETTING, outcome
from reprtune.record.view import StudyView
from reprtune.spec.study import AnySection
from reprtune.study.sections.cell import Cell, Key, key
from reprtune.study.sections.next_work import next_work

MAX_LOST = 5  # a slot whose worker vanished so often, and it got no further meanwhile, is left alone
MAX_HUNG = 3  # the same of one that stood still
OF_SLOT = (
    "slot",
    "arm",
    "seed",
    "settings",
    SETTING,
    REPEATS,
    FIRST_SEED,
)  # the same for all attempts at a slot
FAULT = "fault"  # attribute: what the device said when a lost attempt took it from its worker


def refill(view: StudyView) -> int:
    """Queue what the sections want and no attempt is at; returns how many trials.

    Raises:
        StudyError: the study is gone, or damaged.
    """
    with view.lock():
        return refill_locked(view)


def refill_locked(view: StudyView, study: StudyRecord | None = None) -> int:
    """The same, for who has the lock.

    Args:
        study: as it is now, where it was read with histories: those of old records hold what leaders are ranked by.
    """
    study = study or view.record()
    wanted = next_work(study)
    return sum(_fill(view, study, section, wanted[section.name]) for section in study.spec.sections)


def fill_new(view: StudyView, study: StudyRecord) -> None:
    """Queue the first cells of a study that nobody sees yet."""
    wanted = next_work(study)
    for section in study.spec.sections:
        _fill(view, study, section, wanted[section.name])


def holds_slot(trial: FrozenTrial) -> bool:
    """Does the attempt use its slot up, or may it still do so?"""
    return outcome(trial).holds_slot


def _fill(view: StudyView, study: StudyRecord, section: AnySection, cells: Sequence[Cell]) -> int:
    trials = view.frozen(study.spec, section)
    gone = {trial.number for trial in study.of(section.name) if trial.repaired}
    attempts: dict[Key, list[FrozenTrial]] = {}
    for trial in trials:
        attempts.setdefault(key(trial.user_attrs), []).append(trial)
    covered = {
        at for at, tried in attempts.items() if any(holds_slot(t) and t.number not in gone for t in tried)
    }
    missing = {cell.key: cell for cell in cells if cell.key not in covered}
    if not missing:
        return 0
    free = 1 + max((trial.user_attrs["slot"] for trial in trials), default=-1)
    study_id = view.storage.get_study_id_from_name(section_study(study.spec, section))
    queued: list[Queued] = []
    for at, cell in missing.items():
        tried = sorted(attempts.get(at, ()), key=_order)
        if not tried:
            slot = cell.slot if cell.slot is not None else free
            free = max(free, slot + 1)
            queued.append(Queued(cell.attrs(slot)))
            continue
        last = view.storage.get_trial(trial_id(tried[-1]))  # with the histories of the seeds it has finished
        before = max((t.number for t in tried if t.number in gone), default=-1)
        if why := _in_vain([t for t in tried if t.number > before], last):
            view.storage.create_new_trial(study_id, template_trial=_given_up(last, why))
        else:
            queued.append(_again(last, len(tried)))
    enqueue(view.storage, study_id, queued)
    return len(missing)


def _again(last: FrozenTrial, n_attempts: int) -> Queued:
    """A further attempt at a slot; `last` is the one before."""
    keep = not outcome(last).is_redrawn
    attrs = _of_slot(last, keep_seeds=keep)
    return Queued({**attrs, "attempt": n_attempts}, drawn_params(last) if keep else {})


def _of_slot(last: FrozenTrial, *, keep_seeds: bool = True) -> dict[str, Any]:
    """What says which slot an attempt is at, and the seeds that are finished."""
    attrs: Mapping[str, Any] = last.user_attrs
    return {k: v for k, v in attrs.items() if k in OF_SLOT or (keep_seeds and k.startswith(SEED_PREFIX))}


def _in_vain(tried: Sequence[FrozenTrial], last: FrozenTrial) -> str:
    """Why another attempt would end like those before; empty where it may not. A state later than any before begins
    the count anew: workers that are preempted vanish as often as they like."""
    ends, furthest = Counter[Outcome](), (0, 0)
    for trial in tried:
        if (reached := _reached(trial)) > furthest:
            ends, furthest = Counter(), reached
        ends[outcome(trial)] += 1
    if ends[Outcome.HUNG] >= MAX_HUNG:
        return f"it stood still {MAX_HUNG} times ({last.user_attrs.get('result', {}).get('error', 'no word why')})"
    if ends[Outcome.LOST] >= MAX_LOST:
        return f"its worker vanished {MAX_LOST} times ({last.user_attrs.get(FAULT, 'killed for memory?')})"
    return ""


def _reached(trial: FrozenTrial) -> tuple[int, int]:
    """The seeds an attempt has finished, and the steps of the next one up to its last state."""
    seeds = sum(name.startswith(SEED_PREFIX) for name in trial.user_attrs)
    return seeds, trial.user_attrs.get("progress", {}).get("stored", 0)


def _given_up(last: FrozenTrial, why: str) -> FrozenTrial:
    """An attempt that says why there will be no other."""
    error = f"given up: {why}"
    return optuna.trial.create_trial(
        state=TrialState.FAIL,
        params=last.params,
        distributions=last.distributions,
        system_attrs={FIXED: drawn_params(last)},
        user_attrs={
            **_of_slot(last),
            "lease": last.user_attrs.get("lease", {}),
            "result": {"outcome": "error", "error": error},
        },
    )


def _order(trial: FrozenTrial) -> tuple[bool, float]:
    """The attempt that knows most comes last: never a duplicate, which was not trained, and else the one that ended
    last; a trial that was given back has a smaller number than the copy that keeps its attempt."""
    ended = trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0
    return outcome(trial) != Outcome.DUPLICATE, ended
