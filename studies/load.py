"""Find a study: one of ours by name, or the `STUDY` of a person's own file or module."""

from __future__ import annotations

import importlib

from reprtune.errors import ReprtuneError, SpecError, did_you_mean
from reprtune.importing import PREFIX, imported, parse
from reprtune.spec.study import StudySpec
from studies import STUDIES


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
        raise SpecError(failure.message, failure.hint) from failure.__cause__
    return _checked(getattr(module, attribute, None), name, attribute)


def _checked(study: object, where: str, attribute: str) -> StudySpec:
    if not isinstance(study, StudySpec):
        raise SpecError(
            f"{where} holds no {attribute} of the type StudySpec.",
            "Begin from studies/repr_ablation.py.",
        )
    return study
