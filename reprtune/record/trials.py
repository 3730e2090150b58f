"""Optuna's trials as records: what is stored of an attempt, held to its form and unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from reprtune.errors import SpecError
from reprtune.record.checks import check_trial, damaged
from reprtune.record.outcomes import Outcome, read_outcome
from reprtune.record.pack import unpack
from reprtune.record.schema import SeedRun, TrialRecord
from reprtune.spec import objectives
from reprtune.spec.older import as_today
from reprtune.spec.study import AnySection, StudySpec

SEED_PREFIX = "seed-"
SETTING, REPEATS, FIRST_SEED = "setting", "repeats", "first_seed"  # of a slot whose settings were admitted


def to_records(
    name: str,
    trials: Iterable[FrozenTrial],
    spec: StudySpec,
    section: AnySection,
    repaired: Collection[int] = (),
    histories: bool = True,
) -> tuple[TrialRecord, ...]:
    """The attempts of a section; trials without a slot are not ours.

    Args:
        name: of the Optuna study that holds them. repaired: numbers of those that count no more.

    Raises:
        StudyError: a trial is damaged.
    """
    ours = [trial for trial in trials if "slot" in trial.user_attrs]
    return tuple(
        checked_record(name, trial, spec, section, trial.number in repaired, histories) for trial in ours
    )


def checked_record(
    name: str, trial: FrozenTrial, spec: StudySpec, section: AnySection, repaired: bool, histories: bool
) -> TrialRecord:
    """One attempt, held to its form.

    Raises:
        StudyError: an attribute of the trial is not of its form, or what is packed in it is damaged; it names the Optuna
        study, `name`, in which the trial has its number.
    """
    check_trial(name, trial, section.objectives, SEED_PREFIX)
    try:
        return to_record(trial, spec, section, repaired, histories)
    except (SpecError, ValueError, zlib.error, RecursionError) as error:
        why = f"cannot be unpacked: {str(error).splitlines()[0]}"
        raise damaged(name, "history", why, trial.number) from error


def to_record(
    trial: FrozenTrial, spec: StudySpec, section: AnySection, repaired: bool = False, histories: bool = True
) -> TrialRecord:
    """One attempt; what is packed in it is not checked."""
    attrs = trial.user_attrs
    result = dict(attrs.get("result", {}))
    packed = result.pop("history", None)
    rungs = result.pop("rungs", None) or attrs.get("rungs", {})
    earlier = tuple(_seed_run(stored, histories) for stored in stored_seeds(attrs))
    first = attrs.get(FIRST_SEED, spec.base.seed)
    current = attrs.get("seed", first + len(earlier))
    if rungs.get("seed", current) != current:
        rungs = {}  # those of the seed before, which is finished
    return TrialRecord(
        section=section.name,
        number=trial.number,
        slot=attrs["slot"],
        arm=attrs.get("arm"),
        seed=current,
        outcome=outcome(trial),
        params=dict(trial.params),
        settings=None if section.is_drawn else arm_settings(attrs, spec),
        repeats=attrs.get(REPEATS),
        attempt=attrs.get("attempt", 0),
        repaired=repaired,
        values=dict(zip(section.objectives, trial.values, strict=True)) if trial.values else None,
        history=unpack(packed) if packed and histories else None,
        rungs=_curve(rungs),
        planned_gflops=rungs.get("planned_gflops"),
        stretches=_stretches(rungs),
        earlier=earlier,
        result=result,
        lease=attrs.get("lease", {}),
        progress=attrs.get("progress", {}),
        started=trial.datetime_start.timestamp() if trial.datetime_start else None,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )


def arm_settings(attrs: Mapping[str, Any], spec: StudySpec) -> dict[str, Any]:
    """What an arm changes in the base; older versions left that to the study."""
    if "settings" in attrs:
        return dict(as_today(attrs["settings"]))
    return next((dict(arm.changes) for arm in spec.arms if arm.name == attrs.get("arm")), {})


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
        stretches=_stretches(stored["rungs"]),
        state=stored["state"],
        code=stored.get("code", ""),
        costs=stored.get("costs", {}),
        step=stored.get("step"),
        ended=stored.get("ended"),
    )


def _curve(rungs: Mapping[str, Any]) -> tuple[tuple[int, float], ...]:
    return tuple((int(step), float(error)) for step, error in rungs.get("points", []))


def _stretches(rungs: Mapping[str, Any]) -> tuple[tuple[int, str], ...] | None:
    found = rungs.get("stretches")
    return None if found is None else tuple((int(step), str(course)) for step, course in found)


def outcome(trial: FrozenTrial) -> Outcome:
    """What became of an attempt: the worker's word where it had the last one, else Optuna's state."""
    return read_outcome(trial.state.name, trial.user_attrs.get("result", {}).get("outcome"))
