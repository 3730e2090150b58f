"""The places of a method, and which words belong where."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.parts.criteria import Criterion
from reprtune.spec.parts.losses import LossTerm
from reprtune.spec.parts.members import Ending, Exchange, Gradient, Networks
from reprtune.spec.parts.part import Part
from reprtune.spec.parts.restores import Restore, RestoreRules
from reprtune.spec.parts.schedules import Schedule
from reprtune.spec.parts.selections import Drop, Selection

PLACES: dict[str, type[Part]] = {
    "schedule": Schedule,
    "criterion": Criterion,
    "selection": Selection,
    "drop": Drop,
    "restore": Restore,
    "exchange": Exchange,
    "gradient": Gradient,
    "losses": LossTerm,
    "ending": Ending,
}
RECORDS: dict[str, type[Any]] = {"restore_rules": RestoreRules, "networks": Networks}  # one kind, no name
NAMES = (*PLACES, *RECORDS)
HEADS = ("", "base.")  # what may stand before `method.` in a path; before that of a range, `...space.`
SPACE = "space."


@functools.cache
def homes() -> dict[str, tuple[str, ...]]:
    """Option -> the places that have a part with it."""
    found: dict[str, set[str]] = {}
    for place, kind in shipped():
        for field in dataclasses.fields(kind):
            found.setdefault(field.name, set()).add(place)
    return {name: tuple(sorted(places)) for name, places in found.items()}


def shipped() -> Iterator[tuple[str, type[Any]]]:
    """(place, class) of every part that is not a person's own, and of the records."""
    yield from ((place, part) for place, base in PLACES.items() for part in base.kinds)
    yield from RECORDS.items()


def built_options() -> dict[str, Any]:
    """Option -> its dataclass field, of what can be trained."""
    built = [kind for place, kind in shipped() if place in RECORDS or kind.card.code]
    return {field.name: field for kind in built for field in dataclasses.fields(kind)}


def in_method(path: str) -> tuple[str, list[str]] | None:
    """What stands before `method.` in a path, and the words after it; None for any other path."""
    head, dot, rest = path.partition("method.")
    return (head, rest.split(".")) if dot and (head in HEADS or is_of_space(head)) else None


def is_of_space(head: str) -> bool:
    """Does what stands before `method.` name the space of a search?"""
    return head == SPACE or head.endswith(f".{SPACE}")


def full_path(path: str) -> str:
    """`method.s1` as `method.schedule.s1`; any other path as it is.

    Raises:
        SpecError: parts of several places have that option.
    """
    head, words = in_method(path) or ("", [""])
    places = () if words[0] in NAMES else homes().get(words[0], ())
    full = [".".join([f"{head}method", place, *words]) for place in places]
    if len(full) > 1:
        raise SpecError(f"{path} could be an option of {' or '.join(places)}.", f"Write {' or '.join(full)}.")
    return full[0] if full else path


def short_path(path: str) -> str:
    """The other way round: what people read, where that is unambiguous."""
    head, words = in_method(path) or ("", [""])
    if words[0] in NAMES and homes().get("".join(words[1:2])) == (words[0],):
        return ".".join([f"{head}method", *words[1:]])
    return path
