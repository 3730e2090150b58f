"""Studies in Optuna's storage: created, added to, read, listed and deleted.

A study of ours is several of Optuna's: one for every section, the search under the study's own name, another
section under `<name>.<section>`, so that fixed configurations never bend the sampler. What makes them ours is the
attribute `reprtune`; that of the study's own name holds the canonical specification, its digest, and the facts
found at create. Sections that are added later, and attempts that count no more, stand beside it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.storages import RDBStorage

from reprtune.errors import SpecError, StudyError, did_you_mean
from reprtune.record.checks import check_study, damaged, numbers, shown, whole
from reprtune.record.database import experimental_allowed
from reprtune.record.leaders import leader_slot
from reprtune.record.optuna_private.attributes import read_attributes
from reprtune.record.optuna_private.reading import read_frozen
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.tracked import tracked_fact
from reprtune.record.trials import to_records
from reprtune.record.workers import read_workers
from reprtune.spec.codec import canonical_json, from_plain, to_plain
from reprtune.spec.objectives import OBJECTIVES, OF_ARMS
from reprtune.spec.older import as_today
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.study import AnySection, StudySpec, read_section

ATTRIBUTE = "reprtune"
ADDED = "reprtune.added"  # sections, in the order in which they were added; the last one of a name counts
CODE = "reprtune.code"  # of the study with its branches, see `study.code`
REPAIRED = "reprtune.repaired"  # section -> numbers of the attempts that count no more
SPENT_PREFIX = "spent "
STUDY, SECTION, UNFINISHED = "study", "section", "unfinished"  # roles of Optuna's studies
OLD_ROLES = {"search": STUDY, "controls": SECTION, "confirmation": SECTION}  # of before there were sections


def section_study(spec: StudySpec, section: AnySection) -> str:
    """Name of the Optuna study that holds a section, or any value of it."""
    return spec.name if section.is_drawn else f"{spec.name}.{section.name}"


def role(attribute: Mapping[str, Any]) -> str:
    """What an Optuna study is to us: `study`, `section`, `unfinished`, or empty."""
    found = str(attribute.get("role", ""))
    return OLD_ROLES.get(found, found)


def names(storage: RDBStorage) -> list[str]:
    """Names of the studies of ours."""
    return [
        study.study_name
        for study in storage.get_all_studies()
        if isinstance(ours := study.user_attrs.get(ATTRIBUTE), Mapping) and role(ours) == STUDY
    ]


# -- written ----------------------------------------------------------------------------------------


def create(storage: RDBStorage, study: StudyRecord, fill: Callable[[], None] = lambda: None) -> None:
    """Make the Optuna studies and queue the slots: all of it, or nothing is left. What an interrupted
    creation left is made anew.

    Args:
        fill: queues the slots, in studies that nobody sees yet.

    Raises:
        StudyError: there is a study of that name, or one of somebody else has the name of a section.
    """
    spec = study.spec
    attribute = {
        "spec": canonical_json(spec),
        "digest": study.digest,
        "facts": dict(study.facts),
        "created": study.created,
        "version": study.version,
    }
    others = [section_study(spec, one) for one in spec.sections if section_study(spec, one) != spec.name]
    for name in others:
        find_attribute(storage, name)
    _delete_unfinished(storage, spec.name)
    try:
        head = _made(storage, spec.name, spec.objectives)
        made = [_made(storage, name, OF_ARMS) for name in others]
        fill()
        for one in made:
            one.set_user_attr(ATTRIBUTE, {"digest": study.digest, "role": SECTION})
        head.set_user_attr(ATTRIBUTE, {**attribute, "role": STUDY})  # last: without it there is no study
    except optuna.exceptions.DuplicatedStudyError as error:
        _delete_unfinished(storage, spec.name)
        raise StudyError(f"The study {spec.name!r} was just created by somebody else.") from error
    except BaseException:
        _delete_unfinished(storage, spec.name)
        raise


def _made(storage: RDBStorage, name: str, metrics: Sequence[str]) -> optuna.Study:
    """A new Optuna study, marked as unfinished."""
    directions = [OBJECTIVES[metric].direction for metric in metrics]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    try:
        study.set_user_attr(ATTRIBUTE, {"role": UNFINISHED})
        with experimental_allowed():
            study.set_metric_names(list(metrics))
    except BaseException:
        optuna.delete_study(study_name=name, storage=storage)
        raise
    return study


def add_section(storage: RDBStorage, study: StudyRecord, section: AnySection) -> None:
    """Store a section that a study did not have, or its new value; and make its Optuna study where that is
    absent. To be called under the study's lock.

    Raises:
        SpecError: the study cannot have that section. StudyError: another study has its name.
    """
    study.spec.with_section(section)
    if section.is_drawn and study.spec.search is None:
        raise SpecError(
            f"{study.spec.name!r} cannot have a section {section.name!r}: it was created without a search.",
            "Create another study with one.",
        )
    name = section_study(study.spec, section)
    if role(find_attribute(storage, name)) == UNFINISHED:
        optuna.delete_study(study_name=name, storage=storage)
    if name != study.spec.name and role(find_attribute(storage, name)) == STUDY:
        raise StudyError(
            f"{study.spec.name!r} cannot have a section {section.name!r}: there is a study named {name!r}.",
            "Remove that one first.",
        )
    if not find_attribute(storage, name):
        _made(storage, name, section.objectives).set_user_attr(
            ATTRIBUTE, {"digest": study.digest, "role": SECTION}
        )
    study_id = storage.get_study_id_from_name(study.spec.name)
    before = _added(study.spec.name, read_attributes(storage, study.spec.name))
    storage.set_study_user_attr(study_id, ADDED, [*before, to_plain(section)])


def write_code(storage: RDBStorage, name: str, code: Mapping[str, Any]) -> None:
    """All code that a study can run, with the branches that were added. To be called under the study's lock."""
    storage.set_study_user_attr(storage.get_study_id_from_name(name), CODE, dict(code))


def mark_repaired(storage: RDBStorage, name: str, section: str, numbers: Iterable[int]) -> None:
    """Attempts of a section that are to count no more. To be called under the study's lock."""
    study_id = storage.get_study_id_from_name(name)
    before = repaired(storage, name)
    both = {*before.get(section, ()), *numbers}
    storage.set_study_user_attr(study_id, REPAIRED, {**before, section: sorted(both)})


def _delete_unfinished(storage: RDBStorage, name: str) -> None:
    """Remove what an interrupted `create` or `delete` has left."""
    is_there = role(find_attribute(storage, name)) == STUDY
    for one in (*sections_of(storage, name), name):
        found = role(find_attribute(storage, one))
        if found == UNFINISHED or (found == SECTION and not is_there):
            optuna.delete_study(study_name=one, storage=storage)


def delete(storage: RDBStorage, name: str) -> None:
    """Remove all Optuna studies of the study; that of its own name last, so that an interrupted delete can be
    repeated."""
    for one in sections_of(storage, name):
        if role(find_attribute(storage, one)) == SECTION:
            optuna.delete_study(study_name=one, storage=storage)
    if role(find_attribute(storage, name)) == STUDY:
        optuna.delete_study(study_name=name, storage=storage)


def sections_of(storage: RDBStorage, name: str) -> list[str]:
    """Names of the Optuna studies that are sections of the study, if they are ours; a study of ours whose name
    begins like that is none."""
    return [
        study.study_name
        for study in storage.get_all_studies()
        if study.study_name.startswith(f"{name}.")
        and isinstance(ours := study.user_attrs.get(ATTRIBUTE), Mapping)
        and role(ours) in (SECTION, UNFINISHED)
        and "." not in study.study_name.removeprefix(f"{name}.")
    ]


def write_spent(storage: RDBStorage, name: str, worker: str, spent: tuple[float, float]) -> None:
    """What a worker has spent on the search so far: seconds of training and GFLOPs. Only it may write that."""
    study_id = storage.get_study_id_from_name(name)
    storage.set_study_user_attr(study_id, f"{SPENT_PREFIX}{worker}", list(spent))


def read_spent(storage: RDBStorage, name: str) -> dict[str, tuple[float, float]]:
    """Worker -> the seconds and GFLOPs it has spent on the search; empty without a budget."""
    attrs = read_attributes(storage, name)
    found = {key.removeprefix(SPENT_PREFIX): v for key, v in attrs.items() if key.startswith(SPENT_PREFIX)}
    for worker, account in found.items():
        if not numbers(account) or len(account) != 2:
            raise damaged(name, f"{SPENT_PREFIX}{worker}", f"is not of its form: {shown(account)}")
    return {worker: (float(seconds), float(gflops)) for worker, (seconds, gflops) in found.items()}


# -- read -------------------------------------------------------------------------------------------


def find_attribute(storage: RDBStorage, name: str) -> dict[str, Any]:
    """The attribute `reprtune` of an Optuna study; empty where there is no study of that name.

    Raises:
        StudyError: it is not ours.
    """
    try:
        return _ours(name, read_attributes(storage, name))
    except KeyError:
        return {}


def _ours(name: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attribute `reprtune` among all those of an Optuna study."""
    if ATTRIBUTE not in attrs:
        raise StudyError(
            f"The study {name!r} in this storage was not made by reprtune, which leaves it alone.",
            "Choose another name, or another storage.",
        )
    if not isinstance(attrs[ATTRIBUTE], Mapping):
        raise damaged(name, ATTRIBUTE, f"is no table: {shown(attrs[ATTRIBUTE])}")
    return dict(attrs[ATTRIBUTE])


def read_attribute(storage: RDBStorage, name: str) -> dict[str, Any]:
    """The attribute `reprtune` of a study of ours.

    Raises:
        StudyError: there is none of that name, or it is not ours.
    """
    return _ours(name, _all_attributes(storage, name))


def _all_attributes(storage: RDBStorage, name: str) -> dict[str, Any]:
    """All attributes of a study of ours."""
    try:
        attrs = read_attributes(storage, name)
    except KeyError:
        attrs = {ATTRIBUTE: {}}
    if role(_ours(name, attrs)) != STUDY:
        raise StudyError(f"There is no study {name!r}.", did_you_mean(name, names(storage)))
    return attrs


def read_study(storage: RDBStorage, name: str, *, histories: bool = True) -> StudyRecord:
    """The study with all its attempts; without `histories` it reads faster."""
    study = read_header(storage, name)
    return replace(
        study,
        spent=_sum(read_spent(storage, name).values()),
        workers=read_workers(storage, name),
        attempts={
            section.name: read_trials(storage, study, section, histories) for section in study.spec.sections
        },
    )


def read_header(storage: RDBStorage, name: str) -> StudyRecord:
    """The study without its attempts and what they have spent: as fast in a large study as in a small one."""
    attrs = _all_attributes(storage, name)
    attribute = _ours(name, attrs)
    check_study(name, attribute)
    spec = _grown(name, attribute["spec"], json.dumps(_added(name, attrs)))
    return StudyRecord(
        spec=_with_old_confirmation(storage, spec),
        digest=attribute["digest"],
        facts=attribute["facts"] | _code(name, attrs) | tracked_fact(name, attrs),
        created=attribute["created"],
        version=attribute["version"],
    )


@functools.lru_cache(maxsize=16)  # a worker reads it after every trial
def _grown(name: str, text: str, added: str) -> StudySpec:
    """What was created, with the sections that were added since."""
    spec = _read_spec(name, text)
    for section in json.loads(added):
        spec = _with(spec, section)
    return spec


def _read_spec(name: str, text: str) -> StudySpec:
    try:
        spec = from_plain(StudySpec, as_today(json.loads(text)))
    except (SpecError, ValueError, RecursionError) as error:
        raise damaged(name, f"{ATTRIBUTE}.spec", f"cannot be read: {str(error).splitlines()[0]}") from error
    if spec.name != name:
        raise damaged(name, f"{ATTRIBUTE}.spec", f"is that of another study, {shown(spec.name)}")
    return spec


def _with(spec: StudySpec, section: Any) -> StudySpec:
    """With a stored section."""
    try:
        return spec.with_section(read_section(as_today(section)))
    except (SpecError, RecursionError) as error:
        raise damaged(spec.name, ADDED, f"cannot be read: {str(error).splitlines()[0]}") from error


def _added(name: str, attrs: Mapping[str, Any]) -> list[Any]:
    """The plain sections that were added to a study."""
    found = attrs.get(ADDED, [])
    if not isinstance(found, list):
        raise damaged(name, ADDED, f"is no list: {shown(found)}")
    return found


def _code(name: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The fact that `write_code` has added; none where there are no branches."""
    found = attrs.get(CODE)
    if found is not None and not (
        isinstance(found, Mapping)
        and all(isinstance(found.get(k), Mapping) for k in ("modules", "versions"))
        and all(isinstance(found.get(k, {}), Mapping) for k in ("user_code", "teachers"))
    ):
        raise damaged(name, CODE, f"is not of its form: {shown(found)}")
    return {} if found is None else {"code_with_branches": dict(found)}


def repaired(storage: RDBStorage, name: str) -> dict[str, list[int]]:
    """Section -> numbers of its attempts that count no more."""
    found = read_attributes(storage, name).get(REPAIRED, {})
    if not isinstance(found, Mapping) or not all(
        isinstance(numbers, list) and all(map(whole, numbers)) for numbers in found.values()
    ):
        raise damaged(name, REPAIRED, f"is not of its form: {shown(found)}")
    return dict(found)


def _with_old_confirmation(storage: RDBStorage, spec: StudySpec) -> StudySpec:
    """Older versions queued the slots of a confirmation and did not say so in the study."""
    name = f"{spec.name}.confirmation"
    if spec.confirmation is not None or role(find_attribute(storage, name)) != SECTION:
        return spec
    attrs = [trial.user_attrs for trial in read_frozen(storage, name, histories=False)]
    seeds = sorted({a["seed"] for a in attrs if whole(a.get("seed"))})
    arms = {str(a.get("arm")) for a in attrs}
    slots = sorted(slot for arm in arms if (slot := leader_slot(arm)) is not None)
    if not seeds:
        return spec
    try:
        return spec.with_section(Confirmation(top=0, slots=tuple(slots), seeds=tuple(seeds)))
    except SpecError as error:
        raise damaged(name, "seed", f"of its trials cannot be: {error.message}") from error


def _sum(accounts: Iterable[tuple[float, float]]) -> tuple[float, float]:
    both = list(accounts)
    return sum(seconds for seconds, _ in both), sum(gflops for _, gflops in both)


def read_studies(storage: RDBStorage) -> tuple[dict[str, StudyRecord], dict[str, StudyError]]:
    """All studies of ours by name, without histories; and why others of them cannot be read."""
    read: dict[str, StudyRecord] = {}
    broken: dict[str, StudyError] = {}
    for name in names(storage):
        try:
            read[name] = read_study(storage, name, histories=False)
        except StudyError as error:
            broken[name] = error
    return read, broken


def read_trials(
    storage: RDBStorage, study: StudyRecord, section: AnySection, histories: bool = True
) -> tuple[TrialRecord, ...]:
    """The attempts of a section; none where nothing of it was queued yet.

    Raises:
        StudyError: a section that was created is gone from the storage, or a trial is damaged.
    """
    name = section_study(study.spec, section)
    try:
        trials = read_frozen(storage, name, histories)
    except KeyError:
        if section == study.spec.confirmation:
            return ()
        raise StudyError(
            f"The part {name!r} of a study is gone from the storage.", "Restore the storage from a copy."
        ) from None
    numbers = repaired(storage, study.spec.name).get(section.name, [])
    return to_records(name, trials, study.spec, section, numbers, histories)
