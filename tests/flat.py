"""Studies and records by the words of their one search, their arms and their confirmation, for tests that need no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import NamedArms
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.search import Search
from reprtune.spec.study import StudySpec

OF_SEARCH = {field.name for field in fields(Search)} - {"name"}
CONTROLS = "controls"


def study_of(**given: Any) -> StudySpec:
    """A study; the fields of its search are given as if they were its own, its arms as `controls` with
    `control_seeds`. No search where `slots` is 0, or there is neither slots nor a space."""
    arms, seeds = tuple(given.pop("controls", ())), tuple(given.pop("control_seeds", (0, 1, 2)))
    search = {name: given.pop(name) for name in list(given) if name in OF_SEARCH}
    sections: list[Any] = [Arms(name=CONTROLS, design=NamedArms(list=arms), seeds=seeds)] if arms else []
    if search.get("slots", 32) and ("space" in search or search.get("slots")):
        sections.append(Search(**search))
    return StudySpec(**given, sections=tuple(sections))


def flat(spec: StudySpec) -> dict[str, Any]:
    """What `study_of` makes the study of."""
    own = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name != "sections"}
    search = {name: getattr(spec.search, name) for name in OF_SEARCH} if spec.search else {"slots": 0}
    arms: Sequence[Arm] = spec.arms
    seeds = spec.comparisons[0].seeds if spec.comparisons else (0, 1, 2)
    return {**own, **search, "controls": arms, "control_seeds": seeds}


def with_fields(spec: StudySpec, **changes: Any) -> StudySpec:
    """The study with other values of these fields, named as in `study_of`."""
    return study_of(**{**flat(spec), **changes})


def with_attempts(
    record: StudyRecord,
    *,
    trials: Sequence[TrialRecord] | None = None,
    controls: Sequence[TrialRecord] | None = None,
    confirmation: Sequence[TrialRecord] | None = None,
) -> StudyRecord:
    """The record with other attempts of its search, of its arms, or of a confirmation that it is given."""
    from reprtune.spec.sections.confirmation import Confirmation

    attempts = dict(record.attempts)
    if trials is not None:
        attempts["search"] = tuple(replace(t, section="search") for t in trials)
    if controls is not None:
        attempts[CONTROLS] = tuple(replace(t, section=CONTROLS) for t in controls)
    spec = record.spec
    if confirmation is not None:
        attempts["confirmation"] = tuple(replace(t, section="confirmation") for t in confirmation)
        seeds = tuple(dict.fromkeys(t.seed for t in confirmation)) or (999,)
        if confirmation:
            spec = spec.with_section(Confirmation(top=0, seeds=seeds))
    return replace(record, spec=spec, attempts=attempts)
