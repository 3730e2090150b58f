"""Confirm a study: its leaders and all its arms again, on fresh seeds, measured on the test part.

The best of a search was selected on its validation errors, so these flatter it. A confirmation trains the
leaders anew with seeds that neither the search nor the arms have seen, the arms with the same ones,
and measures the network of the final epoch on the test part, which nothing else in a study touches.

It is a section that is added to the stored study. Adding is idempotent: what is there stays, more seeds or further
leaders are added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages import RDBStorage

from reprtune.errors import SpecError, StudyError
from reprtune.record.locks import study_lock
from reprtune.record.measures import at_the_end
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.storage import add_section, read_study
from reprtune.record.view import StudyView
from reprtune.settings import Settings
from reprtune.spec.edit import changed
from reprtune.spec.objectives import ERROR
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.tune import next_seed
from reprtune.study.queueing import refill_locked
from reprtune.study.sections.confirmation import confirmed_arms

TOP = 3
N_SEEDS = 5


@dataclass(frozen=True)
class Plan:
    """What a confirmation holds.

    Attributes:
        section: to be stored. arms: arm -> what differs from the base; the study's own first, then `slot-N`.
        n_new: runs queued just now.
    """

    section: Confirmation
    arms: Mapping[str, Mapping[str, Any]]
    n_new: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """The fresh seeds, the same for every arm."""
        return self.section.seeds


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
    if top and study.spec.search is None:
        raise SpecError(
            f"top counts leaders of a search, but {study.spec.name!r} has none.",
            "Leave it out: all arms are confirmed.",
        )
    before = study.spec.confirmation
    known = before.seeds if before else ()
    named = [_named(study, name).slot for name in slots]
    section = Confirmation(
        name=before.name if before else Confirmation.name,
        top=max(before.top, top or 0) if before else (TOP if top is None else top),
        slots=tuple(dict.fromkeys((*(before.slots if before else ()), *named))),
        seeds=(*known, *fresh_seeds(study, (n_seeds or len(known) or N_SEEDS) - len(known))),
    )
    arms = confirmed_arms(section, study)
    if not arms:
        raise StudyError(
            f"There is nothing to confirm in {study.spec.name!r}: no trial of its search is complete, and it "
            "has no arms.",
        )
    for settings in arms.values():
        changed(study.spec.base, {**settings, "seed": section.seeds[0]})
    return Plan(section, arms)


def fresh_seeds(study: StudyRecord, n: int) -> tuple[int, ...]:
    """The `n` seeds after the largest one that anything in the study has, but for tries."""
    confirmed = study.spec.confirmation.seeds if study.spec.confirmation else ()
    first = next_seed((*study.spec.used_seeds, *confirmed))
    return tuple(range(first, first + max(0, n)))


def prepare_confirmation(
    storage: RDBStorage,
    name: str,
    top: int | None = None,
    n_seeds: int | None = None,
    slots: Sequence[str] = (),
    *,
    accept_code: bool = False,
    settings: Settings | None = None,
) -> Plan:
    """Store and queue what `plan_confirmation` says; nothing where all of it is there.

    Args:
        accept_code: also where the code here is not the study's. settings: of the machine that is to train it now;
            None = that need not be this one.

    Raises:
        SpecError, StudyError: as it does, or the code here is not the study's; nothing is queued then.
        ReprtuneError: what it needs is not on the machine; nothing is queued then.
    """
    study = read_study(storage, name)
    plan = plan_confirmation(study, top, n_seeds, slots)
    there = {(trial.arm, trial.seed) for trial in study.confirmation}
    if all((arm, seed) in there for arm in plan.arms for seed in plan.seeds):
        return plan
    from reprtune.study.code import check_code  # loads torch, which all else here does without
    from reprtune.study.sameness import check_machine

    check_code(study, accept=accept_code)
    if settings is not None:
        check_machine(study, settings, accept=accept_code)
    with study_lock(storage, name):  # after all that takes seconds
        study = read_study(storage, name)
        plan = plan_confirmation(study, top, n_seeds, slots)
        if plan.section != study.spec.confirmation:
            add_section(storage, study, plan.section)
        n_new = refill_locked(StudyView(storage, name), read_study(storage, name))
        return Plan(plan.section, plan.arms, n_new)


def _check_numbers(top: int | None, n_seeds: int | None) -> None:
    if top is not None and top < 0:
        raise SpecError(f"top must be at least 0, but got {top}.", "Leave it out for 3.")
    if n_seeds is not None and n_seeds < 1:
        raise SpecError(f"seeds must be at least 1, but got {n_seeds}.", "Leave it out for 5.")


def _check_study(study: StudyRecord) -> None:
    name, spec = study.spec.name, study.spec
    open_ = {one.name: study.pending(one.name) for one in spec.sections if one is not spec.confirmation}
    if any(open_.values()):
        left = " and ".join(f"{n} of {study.planned(one)} slots of {one}" for one, n in open_.items() if n)
        raise StudyError(
            f"{name!r} is unfinished: {left} are left, and a leader among the rest may change.",
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
    found = [t for t in study.trials if number.isdecimal() and t.slot == int(number) and t.is_final]
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
