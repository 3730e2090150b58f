"""Change single fields of a specification by their path, as `--set method.criterion=l2` does."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec import catalog
from reprtune.spec.codec import Tagged, from_plain, to_plain
from reprtune.spec.method import AT_EVENTS, MethodSpec
from reprtune.spec.parts.part import OWN, Part
from reprtune.spec.parts.places import (
    NAMES,
    PLACES,
    RECORDS,
    full_path,
    homes,
    in_method,
    is_of_space,
    short_path,
)
from reprtune.spec.stop_rules import StopRule

T = TypeVar("T")
TAKES_AWAY: dict[str, tuple[int, tuple[str, ...]]] = {  # option -> value that empties places, and these
    "method.schedule.cycles": (0, ("schedule", *AT_EVENTS)),
    "method.networks.n_members": (1, ("networks",)),
}
STOP = ("stop", "stop.kind", "stop.rule")  # where the name of a stop rule may be put; `rule` is older
MOVED = {  # field of an older version -> what to write now
    "training.ortho_penalty": "method.losses=overlap with method.ortho_penalty=0.01",
    "training.teacher": "method.losses=teacher with method.teacher_folder=FOLDER",
    "training.teacher_weight": "method.teacher_weight, of method.losses=teacher",
    "training.teacher_temperature": "method.teacher_temperature, of method.losses=teacher",
}
LISTS = ("objectives",)  # fields of several names, which may be typed `a,b`


def parse_assignment(text: str) -> tuple[str, Any]:
    """`path.to.field=value` as (path, plain value); the value is JSON where it can be, else a text, or the
    names between its commas."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise SpecError(f"A setting is written path.to.field=value, but got {text!r}.")
    try:
        return path.strip(), json.loads(value)
    except (ValueError, RecursionError):  # no JSON, or more digits or brackets than Python reads
        return path.strip(), value.split(",") if path.strip().rpartition(".")[2] in LISTS else value


def changed(spec: T, changes: Mapping[str, Any]) -> T:
    """A copy of `spec` with the fields at the given paths replaced, and everything checked again.

    The path `method` with the name of a method of the catalog replaces the whole composition. The path of a
    place with the name of a part puts that part there, which keeps the options that it has too; `none` empties
    it. An option of a part may leave out its place: `method.s1` is `method.schedule.s1`. The path `stop` with the
    name of a stop rule puts that one there in the same way. Whatever their order, methods are replaced before
    parts, and parts before options. No cycles, and one member, take away what they are the number of.

    Raises:
        SpecError: unknown path (with the nearest one), wrong type, broken rule.
    """
    plain = to_plain(spec, whole=True)
    put_all(plain, changes)
    return from_plain(type(spec), plain)


def with_full_paths(paths: Mapping[str, T]) -> dict[str, T]:
    """With the paths of parts' options written out; of two that are the same the later one counts, as in
    `{**space, "method.s1": ...}`."""
    return {full_path(path): value for path, value in paths.items()}


def put_all(plain: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Replace what stands at the paths, as `changed` does."""
    for path in changes:
        if now := MOVED.get(path.removeprefix("base.")):
            raise SpecError(f"There is no field {path} any more: it is an option of a loss.", f"Write {now}.")
    full = {full_path(path): value for path, value in changes.items()}
    for path in sorted(full, key=lambda path: _turn(path, full[path])):
        value = full[path]
        _put(plain, path, to_plain(value) if isinstance(value, Tagged) else copy.deepcopy(value))


def _turn(path: str, value: Any) -> int:
    """What is put first: wholes before parts and stop rules, those before options, what empties places at last."""
    return rank(path) - path.endswith(STOP) + bool(_emptied(path, value))


def rank(path: str) -> int:
    """0 for a whole method, 1 for a part, 2 for anything else."""
    words = path.removeprefix("base.").split(".")
    return min(len(words) - 1, 2) if words[0] == "method" else 2


def exists(method: MethodSpec, choices: Mapping[str, Any], path: str) -> bool:
    """Has the method, with the methods and parts of `choices` put into it, a part at that place, or at that
    option's place one that has it?"""
    plain = {"method": to_plain(method)}
    put_all(plain, {p: value for p, value in choices.items() if rank(p) < 2})
    place, _, word = path.removeprefix("method.").partition(".")
    tables = _tables(plain["method"], place)
    return any(_has(place, table, word) for table in tables) if word else bool(tables)


def _emptied(path: str, value: Any) -> tuple[str, ...]:
    """The places that a value of an option leaves empty."""
    at, places = TAKES_AWAY.get(path.removeprefix("base."), (None, ()))
    return places if type(value) is int and value == at else ()


def _put(plain: dict[str, Any], path: str, value: Any) -> None:
    """Replace what stands at a full path."""
    head, words = in_method(path) or ("", [])
    method = _method(plain, head) if words and words[0] in NAMES and not is_of_space(head) else None
    if method is None or len(words) > 2:
        _walk(plain, path, _composition(path, value))
    elif len(words) == 1:
        method[words[0]] = _part(method, words[0], value)
    else:
        _put_option(method, path, value)


def _method(plain: dict[str, Any], head: str) -> dict[str, Any] | None:
    """The table of a method; None where something else was put there, which is refused when it is read."""
    above = plain.get("base") if head else plain
    found = above.get("method") if isinstance(above, dict) else None
    return found if isinstance(found, dict) else None


def _tables(method: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """What is at a place, each as a table; none where it is empty."""
    there = method.get(place)
    nodes = there if isinstance(there, list) else [there]
    tables = [{"kind": node} if isinstance(node, str) else node for node in nodes]
    return [table for table in tables if isinstance(table, dict)]


def _has(place: str, table: Mapping[str, Any], word: str) -> bool:
    """Has the part, or record, the option? One of the person's own may have any that no shipped part of its
    place has."""
    if place in RECORDS:
        return place in homes().get(word, ())
    if (kind := str(table.get("kind"))).startswith(OWN):
        return place not in homes().get(word, ())
    return word in PLACES[place].find(kind).option_names()


def _part(method: Mapping[str, Any], place: str, value: Any) -> Any:
    """What a person puts at a place as the method's table has it."""
    several = place in PLACES and PLACES[place].several
    if value is None or value == "none":
        return [] if several else None
    if place in RECORDS or not isinstance(value, str):
        return value
    kind, old = PLACES[place].find(value), _tables(method, place)
    same = [table for table in old if table.get("kind") == value]
    kept = {
        k: v for table in old if kind is not kind.own for k, v in table.items() if k in kind.option_names()
    }
    part = same[0] if same else {"kind": value, **kept}
    return [part] if several else part


def _stop_rule(old: Any, value: Any) -> Any:
    """What a person puts at `stop`; another rule keeps the options that it has too."""
    if not isinstance(value, str):
        return value
    names, kept = StopRule.find(value).option_names(), old if isinstance(old, Mapping) else {}
    return {"kind": value, **{k: v for k, v in kept.items() if k in names}}


def _put_option(method: dict[str, Any], path: str, value: Any) -> None:
    place, word = path.split(".")[-2:]
    tables = _tables(method, place)
    fitting = [table for table in tables if _has(place, table, word)]
    if (empty := _emptied(path, value)) and (fitting or not tables):
        method.update(dict.fromkeys(empty))
        return
    if not tables and place in RECORDS:
        tables = [to_plain(RECORDS[place]())]
    if not tables:
        raise _does_nothing(path)
    (fitting or tables)[0][word] = value  # an option that the part does not have is refused when it is read
    method[place] = tables if PLACES.get(place, Part).several else tables[0]


def _does_nothing(path: str) -> SpecError:
    place, word = path.split(".")[-2:]
    methods = {name: catalog.resolve("methods", name) for name in catalog.names("methods")}
    having = [name for name, method in methods.items() if method.option(word) is not None]
    return SpecError(
        f"{short_path(path)} does nothing: the method has no {PLACES[place].noun}.",
        f"Take a method that has it, such as {having[0]}, or leave it out." if having else "Leave it out.",
    )


def _walk(plain: Any, path: str, value: Any) -> None:
    """Replace what stands at a path of tables; keys with dots of their own are matched whole."""
    node, rest, walked = plain, path, ""
    while True:
        if isinstance(node, list):  # of values that have names, as sections have
            node, rest, walked = _named(node, path, rest, walked)
            if not rest:
                kept = {"name": node["name"]}
                node.clear()
                node.update(kept | (value if isinstance(value, dict) else {"kind": value}))
                return
        if not isinstance(node, dict):
            raise SpecError(
                f"There is no field {path}: {walked} {'is empty' if node is None else 'has no parts'}."
            )
        if rest in STOP and "stop" in node:
            node["stop"] = _stop_rule(node["stop"], value)
            return
        key = next((k for k in sorted(node, key=len, reverse=True) if rest.startswith(f"{k}.")), None)
        if rest in node or ("kind" in node and not (key and _has_fields(node[key]))):
            node[rest] = value  # what is tagged says itself which fields it has
            return
        if key is None:
            known = [f"{walked}.{k}" if walked else k for k in (*node, *_short_words(walked))]
            raise SpecError(f"There is no field {path}.", did_you_mean(path, known))
        walked = f"{walked}.{key}" if walked else key
        node, rest = node[key], rest[len(key) + 1 :]


def _has_fields(value: Any) -> bool:
    """Is it a table, or a list of tables?"""
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, dict) for one in value)
    )


def _named(nodes: list[Any], path: str, rest: str, walked: str) -> tuple[dict[str, Any], str, str]:
    """Of several tables the one whose name the rest of a path begins with; what is left, and what was walked."""
    found = {str(node.get("name")): node for node in nodes if isinstance(node, dict)}
    for name in sorted(found, key=len, reverse=True):
        if rest == name or rest.startswith(f"{name}."):
            return found[name], rest[len(name) + 1 :], f"{walked}.{name}"
    raise SpecError(f"There is no field {path}.", did_you_mean(path, [f"{walked}.{name}" for name in found]))


def _composition(path: str, value: Any) -> Any:
    """The table that a method's name stands for; any other value as it is."""
    named = path in ("method", "base.method") and isinstance(value, str)
    return to_plain(catalog.resolve("methods", value)) if named else value


def _short_words(walked: str) -> list[str]:
    """Options that may be written without their place."""
    return list(homes()) if walked.rsplit(".", maxsplit=1)[-1] == "method" else []
