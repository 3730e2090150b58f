"""Confirm a study: its leaders and all its controls again, on fresh seeds, measured on the test part.

The best of a search was selected on its validation errors, so these flatter it. A confirmation trains the
leaders anew with seeds that neither the search nor the controls have seen, the controls with the same ones,
and measures the network of the final epoch on the test part, which nothing else in a study touches.

Its slots are queued in an Optuna study of their own and run by the same workers as the study's. Queueing
is idempotent: what is there stays, more seeds or further leaders are added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages import RDBStorage

from reprtune.errors import SpecError, StudyError
from reprtune.record.leaders import leader_arm, leaders
from reprtune.record.locks import database_lock
from reprtune.record.measures import at_the_end
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.storage import queue_confirmation, read_study
from reprtune.spec.edit import changed
from reprtune.spec.objectives import ERROR
from reprtune.spec.study import StudySpec

TOP = 3
N_SEEDS = 5


@dataclass(frozen=True)
class Plan:
    """What a confirmation holds.

    Attributes:
        arms: arm -> what differs from the base; controls first, then `slot-N`.
        seeds: the fresh seeds, the same for every arm. n_new: runs queued just now.
    """

    arms: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    n_new: int = 0

    @property
    def slots(self) -> list[dict[str, Any]]:
        """Seed by seed, so that what is finished early is paired."""
        return [
            {"arm": arm, "seed": seed, "settings": dict(settings)}
            for seed in self.seeds
            for arm, settings in self.arms.items()
        ]


def fresh_seeds(spec: StudySpec, n: int) -> tuple[int, ...]:
    """The `n` seeds after the largest one that the search or its controls have."""
    first = 1 + max((*spec.trial_seeds(), *(spec.control_seeds if spec.controls else ())))
    return tuple(range(first, first + n))


def plan_confirmation(
    study: StudyRecord, top: int | None = None, n_seeds: int | None = None, slots: Sequence[str] = ()
) -> Plan:
    """What is to be confirmed, beside what is queued already, which stays.

    Args:
        study: with histories, where validation error or cost are no objectives.
        top: how many leaders; None = those that are queued, or `TOP`. n_seeds: None likewise, or `N_SEEDS`.
        slots: further slots of the search, such as those on its front.

    Raises:
        SpecError: a number is too small. StudyError: the study is unfinished, has no test images, or a
            slot has nothing to confirm.
    """
    _check_numbers(top, n_seeds)
    _check_study(study)
    there = {t.arm: dict(t.settings or {}) for t in study.confirmation if t.arm is not None}
    if top is None:
        top = 0 if there else TOP
    chosen = [*leaders(study, top), *(_named(study, name) for name in slots)]
    arms = {arm.name: dict(arm.changes) for arm in study.spec.controls}
    arms |= there | {leader_arm(trial.slot): study.spec.settings(trial.params) for trial in chosen}
    if not arms:
        raise StudyError(
            f"There is nothing to confirm in {study.spec.name!r}: no trial of its search is complete, and it "
            "has no controls.",
        )
    known = len({t.seed for t in study.confirmation})
    n_seeds = max(known, n_seeds or known or N_SEEDS)
    plan = Plan(arms, fresh_seeds(study.spec, n_seeds))
    for slot in plan.slots:
        changed(study.spec.base, {**slot["settings"], "seed": slot["seed"]})
    return plan


def prepare_confirmation(
    storage: RDBStorage,
    name: str,
    top: int | None = None,
    n_seeds: int | None = None,
    slots: Sequence[str] = (),
    *,
    accept_code: bool = False,
) -> Plan:
    """Queue what `plan_confirmation` says; nothing where all of it is there.

    Args:
        accept_code: also where the code here is not the study's.

    Raises:
        SpecError, StudyError: as it does, or the code here is not the study's; nothing is queued then.
    """
    with database_lock(storage):
        study = read_study(storage, name)
        plan = plan_confirmation(study, top, n_seeds, slots)
        there = {(trial.arm, trial.seed) for trial in study.confirmation}
        if any((slot["arm"], slot["seed"]) not in there for slot in plan.slots):
            from reprtune.study.code import check_code  # loads torch, which all else here does without

            check_code(study, accept=accept_code)
        return Plan(plan.arms, plan.seeds, queue_confirmation(storage, study, plan.slots))


def _check_numbers(top: int | None, n_seeds: int | None) -> None:
    if top is not None and top < 0:
        raise SpecError(f"top must be at least 0, but got {top}.", "Leave it out for 3.")
    if n_seeds is not None and n_seeds < 1:
        raise SpecError(f"seeds must be at least 1, but got {n_seeds}.", "Leave it out for 5.")


def _check_study(study: StudyRecord) -> None:
    name, spec = study.spec.name, study.spec
    if study.pending():
        search, controls = (
            n - len({t.slot for t in trials if t.outcome.is_final})
            for n, trials in ((spec.slots, study.trials), (len(spec.control_cells()), study.controls))
        )
        raise StudyError(
            f"{name!r} is unfinished: {search} of {spec.slots} slots of the search and {controls} of "
            f"{len(spec.control_cells())} controls are left, and a leader among the rest may change.",
            f"Go on with: python cli.py study resume {name}",
        )
    if not study.facts.get("n_test"):
        raise StudyError(
            f"The data {spec.base.task.dataset} of {name!r} have no test images to confirm it on.",
            "Create the study with data that have a test part.",
        )


def _named(study: StudyRecord, name: str) -> TrialRecord:
    """The complete trial at a slot of the search."""
    number = name.removeprefix("search-")
    found = [t for t in study.trials if number.isdecimal() and t.slot == int(number) and t.outcome.is_final]
    if not found:
        raise StudyError(
            f"{study.spec.name!r} has no slot {name!r} in its search.",
            f"Its slots are 0 to {study.spec.slots - 1}." if study.spec.slots else "It has no search.",
        )
    if at_the_end(found[-1], ERROR) is None:
        raise StudyError(
            f"Slot {number} of {study.spec.name!r} cannot be confirmed: it is {found[-1].outcome}.",
            "Only complete trials are: see them with: python cli.py study show " + study.spec.name,
        )
    return found[-1]
