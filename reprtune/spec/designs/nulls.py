"""What takes the idea of a part, or of an option, away: the nulls that they declare, as factors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.codec import to_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.edit import changed
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.places import PLACES, RECORDS
from reprtune.spec.trial import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Null:
    """An arm without one of its ideas.

    Attributes:
        factor: the place or option. level: what stands there instead, as a name.
        changes: all that differs from the base then.
        refused: why there is no such trial; empty where there is one.
    """

    factor: str
    level: str
    changes: Mapping[str, Any]
    refused: str = ""


def nulls(arm: Arm, base: TrialSpec) -> tuple[Null, ...]:
    """Every idea of an arm's method that can be taken away by itself: places first, in the order of the method, then
    options. Those by which nothing is left to happen, or the trial is refused, say so.

    Raises:
        SpecError: the arm itself is no trial.
    """
    whole = changed(base, arm.changes)
    found = []
    for factor, path, value in (*_of_places(whole.method), *_of_options(whole.method)):
        changes = {**_going_with(arm.changes, path, value), path: value}
        null = Null(factor=factor, level=_word(value), changes=changes)
        try:
            without = changed(base, changes)
        except SpecError as error:
            found.append(Null(factor=factor, level=null.level, changes=changes, refused=str(error)))
            continue
        if without.method == MethodSpec():
            why = "nothing is left to happen then: that is standard training"
            found.append(Null(factor=factor, level=null.level, changes=changes, refused=why))
        elif without != whole:
            found.append(null)
    return tuple(found)


def _of_places(method: MethodSpec) -> Iterator[tuple[str, str, Any]]:
    """(factor, path, null) of every part that declares one."""
    for place, part in method.parts():
        for null in part.nulls:
            if PLACES[place].several and null == "none":  # of several, each by itself
                others = [
                    to_plain(one) for where, one in method.parts() if where == place and one is not part
                ]
                yield part.name if others else place, f"method.{place}", others or null
            else:
                yield place, f"method.{place}", null


def _of_options(method: MethodSpec) -> Iterator[tuple[str, str, Any]]:
    """(factor, path, null) of every option of a shipped part or record."""
    there = [(f.name, getattr(method, f.name)) for f in fields(method)]
    for place, value in there:
        for one in value if isinstance(value, tuple) else (value,):
            if one is None or not (place in RECORDS or type(one) in PLACES[place].kinds):
                continue
            for f in fields(one):
                if (needs := f.metadata["acts_with"]) is not None and getattr(one, needs[0]) != needs[1]:
                    continue
                yield f.name, f"method.{place}.{f.name}", to_plain(f.metadata["null"])


def _going_with(changes: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Changes without the options of a place that another part there does not have."""
    _, place, *option = path.split(".")
    if option or place not in PLACES or not isinstance(value, str):
        return {p: v for p, v in changes.items() if p != path}
    words = () if value == "none" else PLACES[place].find(value).option_names()
    head = f"method.{place}."
    return {
        p: v
        for p, v in changes.items()
        if p != path and not (p.startswith(head) and p.removeprefix(head) not in words)
    }


def _word(value: Any) -> str:
    """A value as a part of a name."""
    if isinstance(value, list):
        return "none"
    said = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", said).strip("-") or "empty"
