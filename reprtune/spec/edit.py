"""Change single fields of a specification by their path, as `--set method.criterion=l2` does."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec import catalog
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.parts.part import OWN
from reprtune.spec.parts.places import PLACES, RECORDS, full_path, homes

T = TypeVar("T")


def parse_assignment(text: str) -> tuple[str, Any]:
    """`path.to.field=value` as (path, plain value); the value is JSON where it can be, else a text."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise SpecError(f"A setting is written path.to.field=value, but got {text!r}.")
    try:
        return path.strip(), json.loads(value)
    except (ValueError, RecursionError):  # no JSON, or more digits or brackets than Python reads
        return path.strip(), value


def changed(spec: T, changes: Mapping[str, Any]) -> T:
    """A copy of `spec` with the fields at the given paths replaced, and everything checked again.

    The path `method` with the name of a method of the catalog replaces the whole composition, the path of a
    place with the name of a part (or `none`) puts that part there, and an option of a part may leave out its
    place: `method.s1` is `method.schedule.s1`. Whatever their order, methods are replaced before parts, and
    parts before options.

    Raises:
        SpecError: unknown path (with the nearest one), wrong type, broken rule.
    """
    plain = to_plain(spec)
    put_all(plain, changes)
    return from_plain(type(spec), plain)


def put_all(plain: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Replace what stands at the paths, as `changed` does."""
    full = {full_path(path): value for path, value in changes.items()}
    for path in sorted(full, key=rank):
        _put(plain, path, copy.deepcopy(full[path]))
    for path, value in full.items():
        _without_effect(plain, path, value)


def rank(path: str) -> int:
    """0 for a whole method, 1 for a part, 2 for anything else."""
    words = path.removeprefix("base.").split(".")
    return min(len(words) - 1, 2) if words[0] == "method" else 2


def exists(spec: Any, choices: Mapping[str, Any], path: str) -> bool:
    """Does a trial's method, with the methods and parts of `choices` put into it, have the option at `path`?

    An option of no shipped part of its place belongs to a part of the person's own, if one is there.
    """
    plain = {"method": to_plain(spec.method)}
    put_all(plain, {p: value for p, value in choices.items() if rank(p) < 2})
    place, _, word = path.removeprefix("method.").partition(".")
    found = plain["method"].get(place)
    if not isinstance(found, dict) or not word or place in RECORDS:
        return found is not None
    if found["kind"].startswith(OWN):
        return place not in homes().get(word, ())
    return word in {f.name for f in dataclasses.fields(PLACES[place].find(found["kind"]))}


def _without_effect(plain: dict[str, Any], path: str, value: Any) -> None:
    """No cycles are standard training, and one member is no group."""
    head, _, option = path.rpartition("method.")
    if type(value) is int and (option, value) in (("schedule.cycles", 0), ("networks.n_members", 1)):
        _put(
            plain,
            f"{head}method" if value == 0 else f"{head}method.networks",
            "standard" if value == 0 else None,
        )


def _put(plain: Any, path: str, value: Any) -> None:
    """Replace what stands at `path`; keys with dots of their own are matched whole."""
    value = _named(path, value)
    node, rest, walked = plain, path, ""
    while True:
        if not isinstance(node, dict):
            raise SpecError(
                f"There is no field {path}: {walked} {'is empty' if node is None else 'has no parts'}."
            )
        if rest in node or "kind" in node:  # a part says itself which options it has
            node[rest] = value
            return
        key = next((k for k in sorted(node, key=len, reverse=True) if rest.startswith(f"{k}.")), None)
        if key is None:
            known = [f"{walked}.{k}" if walked else k for k in (*node, *_short_words(walked))]
            raise SpecError(f"There is no field {path}.", did_you_mean(path, known))
        walked = f"{walked}.{key}" if walked else key
        if node[key] is None and key in RECORDS:
            node[key] = to_plain(RECORDS[key]())
        node, rest = node[key], rest[len(key) + 1 :]


def _named(path: str, value: Any) -> Any:
    """The composition that a method's name stands for, and the part that a part's does; None for a place that
    is to be empty."""
    words = path.removeprefix("base.").split(".")
    if words[0] != "method" or len(words) > 2 or not isinstance(value, str):
        return value
    if len(words) == 1:
        return to_plain(catalog.resolve("methods", value))
    return None if value == "none" else {"kind": value} if words[1] in PLACES else value


def _short_words(walked: str) -> list[str]:
    """Options that may be written without their place."""
    return list(homes()) if walked.rsplit(".", maxsplit=1)[-1] == "method" else []
