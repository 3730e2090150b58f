"""Branch a study: another continuation of one of its trials, as an arm beside its trunk.

It is an arm of a section that is added to the stored study, with the seeds of its trunk, so that differences are
paired. Up to the point the states of both are the same, and trained once where they are kept. Adding is idempotent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from optuna.storages import RDBStorage

from reprtune.errors import StudyError
from reprtune.record.locks import study_lock
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import find_slot
from reprtune.record.storage import add_section, read_study, write_code
from reprtune.record.view import StudyView
from reprtune.settings import Settings
from reprtune.spec.branch import FIELD, SECTION, Branch, is_added
from reprtune.spec.codec import to_plain
from reprtune.spec.edit import changed
from reprtune.spec.parts.places import short_path
from reprtune.spec.sections.arms import Arms
from reprtune.spec.study import Arm, NamedArms, named
from reprtune.spec.trial import TrialSpec
from reprtune.study.queueing import refill_locked


@dataclass(frozen=True)
class Branched:
    """What a branch is stored as.

    Attributes:
        section: with all its arms, to be stored. arm, trunk: names of the two that are compared. trial: the branch,
            with the first seed. n_new: runs queued just now; None where the branch was there before.
    """

    section: Arms
    arm: str
    trunk: str
    trial: TrialSpec
    n_new: int | None = 0


def plan_branch(
    study: StudyRecord, slot: str, branch: Branch, name: str | None = None, seeds: Sequence[int] | None = None
) -> Branched:
    """The arm that a branch of a slot is, in its section.

    Args:
        name: of the arm; None = says trunk, point and changes. seeds: None = all that its trunk has.

    Raises:
        SpecError: the branch does not go with its trunk, or a seed cannot be. StudyError: there is no such slot, it has
            no settings yet, or another arm has the name.
    """
    trunk, its_seeds, is_new = _trunk(study, slot)
    settings = {**trunk.changes, FIELD: to_plain(branch)}
    there = next((arm for arm in study.spec.arms if arm.changes == settings), None)
    arm = Arm(name=name or (there.name if there else _name(trunk.name, branch)), changes=settings)
    if there is not None and name in (None, there.name):
        section = next(one for one in study.spec.comparisons if there in one.arms(study.spec.base))
        if seeds is None or {*seeds} <= {*section.all_seeds}:
            return Branched(section, there.name, trunk.name, _trial(study, there, section.seeds), None)
        raise StudyError(
            f"The branch {there.name!r} of {study.spec.name!r} has the seeds {list(section.all_seeds)} already.",
            f"Add seeds with: python cli.py study extend {study.spec.name} --section {section.name} --seeds N",
        )
    base = study.spec.base
    ours, theirs = arm.budget(base), trunk.budget(base)
    if ours.unit != theirs.unit or ours.value <= theirs.value:
        arm = replace(arm, against=(trunk.name,))  # else a lower error would say nothing
    chosen = tuple(its_seeds if seeds is None else seeds)
    beside = _section(study, chosen)
    arms = () if beside is None else beside.arms(base)
    new = (trunk, arm) if is_new else (arm,)
    value = Arms(name=beside.name if beside else _free(study), design=named(*arms, *new), seeds=chosen)
    study.spec.with_section(value)  # refuses what cannot be, such as a name that is taken
    return Branched(value, arm.name, trunk.name, _trial(study, arm, chosen))


def branch_study(
    storage: RDBStorage,
    study_name: str,
    settings: Settings,
    slot: str,
    branch: Branch,
    name: str | None = None,
    seeds: Sequence[int] | None = None,
    *,
    accept_code: bool = False,
) -> Branched:
    """Store and queue what `plan_branch` says; nothing where it is there.

    Args:
        settings: where the data are, with which the branch is tried before anything is stored.
        accept_code: also where the code here is not the study's.

    Raises:
        SpecError, StudyError: as it does, or the code here is not the study's. DataError: the data are not here.
    """
    first = plan_branch(read_study(storage, study_name), slot, branch, name, seeds)
    if first.n_new is None:
        return first
    from reprtune.study.code import check_code, code_here  # loads torch, which all else here does without
    from reprtune.study.create import find_teachers, find_user_code
    from reprtune.study.foreseen import check_builds
    from reprtune.study.sameness import check_networks, check_user_code

    check_builds(first.trial, settings)

    with study_lock(storage, study_name):
        study = read_study(storage, study_name)
        plan = plan_branch(study, slot, branch, name, seeds)  # others may have added one meanwhile
        if plan.n_new is None:
            return plan
        check_code(study, accept=accept_code)
        check_user_code(study, accept=accept_code)
        check_networks(study)
        spec = study.spec.with_section(plan.section)
        own = {"user_code": find_user_code(spec), "teachers": find_teachers(spec)}
        write_code(storage, study_name, {**code_here(spec), **own})
        add_section(storage, study, plan.section)
        return replace(plan, n_new=refill_locked(StudyView(storage, study_name)))


def _trunk(study: StudyRecord, slot: str) -> tuple[Arm, tuple[int, ...], bool]:
    """The trunk as an arm, its seeds, and whether it is to be added as one."""
    trial, spec = find_slot(study, slot), study.spec
    if trial.is_drawn:
        if not trial.params:
            raise StudyError(
                f"Slot {slot} of {spec.name!r} cannot be branched: its settings are not drawn yet.",
                f"Train it first: python cli.py study run {spec.name}",
            )
        arm = Arm(name=f"search-{trial.slot}", changes=spec.settings(trial.params))
        return arm, spec.trial_seeds(), arm.name not in {one.name for one in spec.arms}
    found = next((one for one in spec.arms if one.name == trial.arm), None)
    if spec.section(trial.section).is_try(trial.arm):
        raise StudyError(
            f"{slot!r} of {spec.name!r} cannot be branched: it is a try, by which an arm was tuned.",
            f"Name a run of that arm: {str(trial.arm).rpartition('.')[0]}-sN.",
        )
    if found is None and trial.section in {one.name for one in spec.comparisons}:
        raise StudyError(
            f"{slot!r} of {spec.name!r} cannot be branched: it is a step of a path, not an arm that was declared.",
            "Create a study in which it is one.",
        )
    if found is None:
        raise StudyError(
            f"{slot!r} of {spec.name!r} cannot be branched: it is a leader of the search in the confirmation.",
            f"Name its slot in the search: {str(trial.arm).removeprefix('slot-')}.",
        )
    if FIELD in found.changes:
        raise StudyError(
            f"{slot!r} of {spec.name!r} cannot be branched: it is a branch itself.",
            "Branch its trunk, with all that is to change from the point on.",
        )
    trunk = replace(found, changes=study.trained(found))
    return trunk, tuple(sorted({one.seed for one in study.controls if one.arm == found.name})), False


def _section(study: StudyRecord, seeds: Sequence[int]) -> Arms | None:
    """The section of branches that has these seeds; None where there is none yet."""
    sections = (one for one in study.spec.comparisons if is_added(one.name))
    return next(
        (one for one in sections if one.seeds == tuple(seeds) and isinstance(one.design, NamedArms)), None
    )


def _free(study: StudyRecord) -> str:
    n = sum(is_added(one.name) for one in study.spec.comparisons)
    return SECTION if n == 0 else f"{SECTION}-{n + 1}"


def _name(trunk: str, branch: Branch) -> str:
    """Says which trunk, where, and what changes: `repr-cycle-2-criterion-random`."""
    words = [f"{short_path(path).rpartition('.')[2]}-{value}" for path, value in branch.changes.items()]
    return re.sub(r"[^A-Za-z0-9._]+", "-", "-".join([trunk, branch.at, *words])).strip("-")[:100]


def _trial(study: StudyRecord, arm: Arm, seeds: Sequence[int]) -> TrialSpec:
    return changed(study.spec.base, {**arm.changes, "seed": seeds[0]})
