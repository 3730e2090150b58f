"""Find a study: one of ours by name, or the `STUDY` of a person's own file or module."""

from __future__ import annotations

import importlib
import re

from reprtune.errors import ReprtuneError, SpecError, did_you_mean
from reprtune.importing import PREFIX, imported, parse
from reprtune.spec.older import OF_SEARCH
from reprtune.spec.study import StudySpec
from studies import STUDIES

UNEXPECTED = re.compile(
    r"StudySpec\.__init__\(\) got an unexpected keyword argument '(\w+)'"
)  # in Python's words
MOVED = {field: f"Search({field}=...)" for field in OF_SEARCH} | {
    "controls": 'Arms(name="controls", design=[Arm(...), ...])',
    "control_seeds": 'Arms(name="controls", seeds=...)',
}  # field of a study of before there were sections -> where it is now


def load(name: str) -> StudySpec:
    """The study called `name`; `my_question.py`, `python:my_question.py:STUDY` and `python:lab.questions:STUDY`
    are a person's own.

    Raises:
        SpecError: no such study, file or module, or there is no study in it.
    """
    if name.startswith(PREFIX) or name.endswith(".py"):
        return _own(name)
    if name not in STUDIES:
        raise SpecError(
            f"There is no study {name!r} in studies/.",
            f"{did_you_mean(name, STUDIES)} A study of your own is given as the path of its .py file.",
        )
    module, _, attribute = STUDIES[name].partition(":")
    return _checked(getattr(importlib.import_module(module), attribute, None), name, attribute)


def _own(name: str) -> StudySpec:
    target = name.removeprefix(PREFIX) if name.startswith(PREFIX) else f"{name}:STUDY"
    try:
        place, attribute = parse(target, name)
        module = imported(place)
    except ReprtuneError as failure:
        raise _without_sections(name, failure) or SpecError(
            failure.message, failure.hint
        ) from failure.__cause__
    return _checked(getattr(module, attribute, None), name, attribute)


def _without_sections(name: str, failure: ReprtuneError) -> SpecError | None:
    """What to write instead, where a file was written for a version whose studies had no sections."""
    found = UNEXPECTED.search(str(failure.__cause__)) if isinstance(failure.__cause__, TypeError) else None
    if found is None or found[1] not in MOVED:
        return None
    return SpecError(
        f"{name}: StudySpec has no field {found[1]} any more: write {MOVED[found[1]]} in its sections.",
        "docs/studies.md shows a study file as it was and as it is now, below Sections.",
    )


def _checked(study: object, where: str, attribute: str) -> StudySpec:
    if not isinstance(study, StudySpec):
        raise SpecError(
            f"{where} holds no {attribute} of the type StudySpec.",
            "Begin from studies/repr_ablation.py.",
        )
    return study
