"""Studies in Optuna's storage: created, read, listed and deleted.

A study of ours is two of Optuna's: the search under its own name, and its controls under
`<name>.controls`, so that fixed configurations never bend the sampler. Once it is confirmed there is a
third, `<name>.confirmation`. What makes them ours is the attribute `reprtune`: the canonical
specification, its digest, and the facts found at create.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from reprtune.errors import SpecError, StudyError, did_you_mean
from reprtune.record.checks import check_study, check_trial, damaged, numbers, shown
from reprtune.record.database import experimental_allowed
from reprtune.record.optuna_private.queueing import enqueue
from reprtune.record.optuna_private.reading import read_frozen
from reprtune.record.outcomes import Outcome, read_outcome
from reprtune.record.pack import unpack
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.spec import objectives
from reprtune.spec.codec import canonical_json, from_plain
from reprtune.spec.objectives import OBJECTIVES, OF_CONTROLS
from reprtune.spec.older import as_today
from reprtune.spec.study import StudySpec

ATTRIBUTE = "reprtune"
SEED_PREFIX = "seed-"
SPENT_PREFIX = "spent "
UNFINISHED = "unfinished"  # role of a study whose creation has not come to its end


def controls_name(name: str) -> str:
    return f"{name}.controls"


def confirmation_name(name: str) -> str:
    return f"{name}.confirmation"


def names(storage: RDBStorage) -> list[str]:
    """Names of the studies of ours."""
    return [
        study.study_name
        for study in storage.get_all_studies()
        if isinstance(ours := study.user_attrs.get(ATTRIBUTE), Mapping) and ours.get("role") == "search"
    ]


def create(storage: RDBStorage, study: StudyRecord) -> None:
    """Make the two Optuna studies and queue every slot: all of it, or nothing is left. What an
    interrupted creation left is made anew.

    Raises:
        StudyError: there is a study of that name.
    """
    spec = study.spec
    controls: list[dict[str, Any]] = [
        {"slot": slot, "arm": arm, "seed": seed} for slot, (arm, seed, _) in enumerate(spec.control_cells())
    ]
    search: list[dict[str, Any]] = [{"slot": slot} for slot in range(spec.slots)]
    attribute = {
        "spec": canonical_json(spec),
        "digest": study.digest,
        "facts": dict(study.facts),
        "created": study.created,
        "version": study.version,
    }
    _delete_unfinished(storage, spec.name)
    try:
        one = _queued(storage, spec.name, spec.objectives, search)
        two = _queued(storage, controls_name(spec.name), OF_CONTROLS, controls)
        two.set_user_attr(ATTRIBUTE, {**attribute, "role": "controls"})
        one.set_user_attr(ATTRIBUTE, {**attribute, "role": "search"})  # last: without it there is no study
    except optuna.exceptions.DuplicatedStudyError as error:
        _delete_unfinished(storage, spec.name)
        raise StudyError(f"The study {spec.name!r} was just created by somebody else.") from error
    except BaseException:
        _delete_unfinished(storage, spec.name)
        raise


def _queued(
    storage: RDBStorage, name: str, metrics: Sequence[str], slots: Sequence[dict[str, Any]]
) -> optuna.Study:
    """A new Optuna study, marked as unfinished, with a waiting trial for each slot."""
    directions = [OBJECTIVES[name].direction for name in metrics]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    try:
        study.set_user_attr(ATTRIBUTE, {"role": UNFINISHED})
        with experimental_allowed():
            study.set_metric_names(list(metrics))
        enqueue(storage, storage.get_study_id_from_name(name), slots)
    except BaseException:
        optuna.delete_study(study_name=name, storage=storage)
        raise
    return study


def queue_confirmation(storage: RDBStorage, study: StudyRecord, slots: Sequence[Mapping[str, Any]]) -> int:
    """Queue further slots of the study's confirmation, and make its Optuna study where it is absent.

    Args:
        slots: `arm`, `seed` and `settings` (path of the trial specification -> plain value) of each; those
            whose arm and seed are queued already are passed over.

    Returns:
        How many were queued now.
    """
    name = confirmation_name(study.spec.name)
    if find_attribute(storage, name).get("role") == UNFINISHED:
        optuna.delete_study(study_name=name, storage=storage)
    if not find_attribute(storage, name):
        made = _queued(storage, name, OF_CONTROLS, ())
        made.set_user_attr(ATTRIBUTE, {"digest": study.digest, "role": "confirmation"})
    found = optuna.load_study(study_name=name, storage=storage)
    queued = {(t.user_attrs["arm"], t.user_attrs["seed"]): t.user_attrs["slot"] for t in found.trials}
    new = [slot for slot in slots if (slot["arm"], slot["seed"]) not in queued]
    for number, slot in enumerate(new, len(set(queued.values()))):
        found.enqueue_trial({}, user_attrs={**slot, "slot": number})
    return len(new)


def _delete_unfinished(storage: RDBStorage, name: str) -> None:
    """Remove what an interrupted `create` or `delete` has left."""
    is_there = find_attribute(storage, name).get("role") == "search"
    for one in (controls_name(name), confirmation_name(name), name):
        role = find_attribute(storage, one).get("role")
        if role == UNFINISHED or (role in ("controls", "confirmation") and not is_there):
            optuna.delete_study(study_name=one, storage=storage)


def delete(storage: RDBStorage, name: str) -> None:
    """Remove all Optuna studies of the study; the search last, so that an interrupted delete can be
    repeated."""
    parts = {controls_name(name): "controls", confirmation_name(name): "confirmation", name: "search"}
    for one, role in parts.items():
        if find_attribute(storage, one).get("role") == role:
            optuna.delete_study(study_name=one, storage=storage)


def write_spent(storage: RDBStorage, name: str, worker: str, spent: tuple[float, float]) -> None:
    """What a worker has spent on the search so far: seconds of training and GFLOPs. Only it may write that."""
    study_id = storage.get_study_id_from_name(name)
    storage.set_study_user_attr(study_id, f"{SPENT_PREFIX}{worker}", list(spent))


def read_spent(storage: RDBStorage, name: str) -> dict[str, tuple[float, float]]:
    """Worker -> the seconds and GFLOPs it has spent on the search; empty without a budget."""
    attrs = storage.get_study_user_attrs(storage.get_study_id_from_name(name))
    found = {key.removeprefix(SPENT_PREFIX): v for key, v in attrs.items() if key.startswith(SPENT_PREFIX)}
    for worker, account in found.items():
        if not numbers(account) or len(account) != 2:
            raise damaged(name, f"{SPENT_PREFIX}{worker}", f"is not of its form: {shown(account)}")
    return {worker: (float(seconds), float(gflops)) for worker, (seconds, gflops) in found.items()}


def find_attribute(storage: RDBStorage, name: str) -> dict[str, Any]:
    """The attribute `reprtune` of an Optuna study; empty where there is no study of that name.

    Raises:
        StudyError: it is not ours.
    """
    for study in storage.get_all_studies():
        if study.study_name == name:
            if ATTRIBUTE not in study.user_attrs:
                raise StudyError(
                    f"The study {name!r} in this storage was not made by reprtune, which leaves it alone.",
                    "Choose another name, or another storage.",
                )
            if not isinstance(study.user_attrs[ATTRIBUTE], Mapping):
                raise damaged(name, ATTRIBUTE, f"is no table: {shown(study.user_attrs[ATTRIBUTE])}")
            return dict(study.user_attrs[ATTRIBUTE])
    return {}


def read_attribute(storage: RDBStorage, name: str) -> dict[str, Any]:
    """The attribute `reprtune` of a study of ours.

    Raises:
        StudyError: there is none of that name, or it is not ours.
    """
    attribute = find_attribute(storage, name)
    if attribute.get("role") != "search":
        raise StudyError(f"There is no study {name!r}.", did_you_mean(name, names(storage)))
    return attribute


def read_study(storage: RDBStorage, name: str, *, histories: bool = True) -> StudyRecord:
    """The study with all its attempts; without `histories` it reads faster."""
    study = read_header(storage, name)
    objectives, seed = study.spec.objectives, study.spec.base.seed
    confirms = confirmation_name(name)
    is_there = find_attribute(storage, confirms).get("role") == "confirmation"
    return replace(
        study,
        spent=_sum(read_spent(storage, name).values()),
        trials=read_trials(storage, name, objectives, seed, histories),
        controls=read_trials(storage, controls_name(name), OF_CONTROLS, 0, histories),
        confirmation=read_trials(storage, confirms, OF_CONTROLS, 0, histories) if is_there else (),
    )


def read_header(storage: RDBStorage, name: str) -> StudyRecord:
    """The study without its attempts and what they have spent: as fast in a large study as in a small one."""
    attribute = read_attribute(storage, name)
    check_study(name, attribute)
    spec = _read_spec(name, attribute["spec"])
    return StudyRecord(
        spec=spec,
        digest=attribute["digest"],
        facts=attribute["facts"],
        created=attribute["created"],
        version=attribute["version"],
    )


def _read_spec(name: str, text: str) -> StudySpec:
    try:
        spec = from_plain(StudySpec, as_today(json.loads(text)))
    except (SpecError, ValueError, RecursionError) as error:
        raise damaged(name, f"{ATTRIBUTE}.spec", f"cannot be read: {str(error).splitlines()[0]}") from error
    if spec.name != name:
        raise damaged(name, f"{ATTRIBUTE}.spec", f"is that of another study, {shown(spec.name)}")
    return spec


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
    storage: RDBStorage, name: str, objectives: tuple[str, ...], seed: int, histories: bool = True
) -> tuple[TrialRecord, ...]:
    try:
        trials = read_frozen(storage, name, histories)
    except KeyError:
        raise StudyError(
            f"The part {name!r} of a study is gone from the storage.", "Restore the storage from a copy."
        ) from None
    ours = [trial for trial in trials if "slot" in trial.user_attrs]
    for trial in ours:
        check_trial(name, trial, objectives, SEED_PREFIX)
    return tuple(_record(name, trial, objectives, seed, histories) for trial in ours)


def _record(
    name: str, trial: FrozenTrial, objectives: tuple[str, ...], seed: int, histories: bool
) -> TrialRecord:
    try:
        return to_record(trial, objectives, seed, histories)
    except (SpecError, ValueError, zlib.error, RecursionError) as error:
        why = f"cannot be unpacked: {str(error).splitlines()[0]}"
        raise damaged(name, "history", why, trial.number) from error


def to_record(
    trial: FrozenTrial, objectives: tuple[str, ...], seed: int, histories: bool = True
) -> TrialRecord:
    attrs = trial.user_attrs
    result = dict(attrs.get("result", {}))
    packed = result.pop("history", None)
    rungs = result.pop("rungs", None) or attrs.get("rungs", {})
    earlier = tuple(_seed_run(stored, histories) for stored in stored_seeds(attrs))
    current = attrs.get("seed", seed + len(earlier))
    if rungs.get("seed", current) != current:
        rungs = {}  # those of the seed before, which is finished
    return TrialRecord(
        number=trial.number,
        slot=attrs["slot"],
        arm=attrs.get("arm"),
        seed=current,
        outcome=outcome(trial),
        params=dict(trial.params),
        settings=as_today(attrs.get("settings")),
        values=dict(zip(objectives, trial.values, strict=True)) if trial.values else None,
        history=unpack(packed) if packed and histories else None,
        rungs=_curve(rungs),
        planned_gflops=rungs.get("planned_gflops"),
        earlier=earlier,
        result=result,
        lease=attrs.get("lease", {}),
        progress=attrs.get("progress", {}),
        started=trial.datetime_start.timestamp() if trial.datetime_start else None,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )


def seed_attr(seed: int) -> str:
    """The attribute of a trial that keeps one of its seeds, once that is finished and another follows."""
    return f"{SEED_PREFIX}{seed}"


def stored_seeds(attrs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The seeds that a trial has finished before its last one, as they are stored, in their order."""
    found = [value for key, value in attrs.items() if key.startswith(SEED_PREFIX)]
    return sorted(found, key=lambda stored: int(stored["seed"]))


def _seed_run(stored: Mapping[str, Any], histories: bool) -> SeedRun:
    return SeedRun(
        seed=stored["seed"],
        history=unpack(stored["history"]) if histories and "history" in stored else None,
        measured=objectives.stored(stored),
        rungs=_curve(stored["rungs"]),
        planned_gflops=stored["rungs"]["planned_gflops"],
        state=stored["state"],
        code=stored.get("code", ""),
    )


def _curve(rungs: Mapping[str, Any]) -> tuple[tuple[int, float], ...]:
    return tuple((int(step), float(error)) for step, error in rungs.get("points", []))


def outcome(trial: FrozenTrial) -> Outcome:
    """What became of an attempt: the worker's word where it had the last one, else Optuna's state."""
    return read_outcome(trial.state.name, trial.user_attrs.get("result", {}).get("outcome"))
