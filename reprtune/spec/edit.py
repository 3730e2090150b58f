"""Change single fields of a specification by their path, as `--set method.criterion=l2` does."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec import catalog
from reprtune.spec.codec import from_plain, to_plain

T = TypeVar("T")
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
        return path.strip(), value.split(",") if path.strip() in LISTS else value


def changed(spec: T, changes: Mapping[str, Any]) -> T:
    """A copy of `spec` with the fields at the given paths replaced, and everything checked again.

    The path `method` with the name of a method of the catalog replaces the whole composition.

    Raises:
        SpecError: unknown path (with the nearest one), wrong type, broken rule.
    """
    plain = to_plain(spec)
    for path, value in changes.items():
        named = isinstance(value, str) and path.split(".")[-1] == "method"
        new = to_plain(catalog.resolve("methods", value)) if named else copy.deepcopy(value)
        _put(plain, path, new)
    return from_plain(type(spec), plain)


def _put(plain: Any, path: str, value: Any) -> None:
    """Replace what stands at `path`; keys with dots of their own are matched whole."""
    node, rest, walked = plain, path, ""
    while True:
        if not isinstance(node, dict):
            raise SpecError(f"There is no field {path}: {walked} has no parts.")
        if rest in node:
            node[rest] = value
            return
        key = next((k for k in sorted(node, key=len, reverse=True) if rest.startswith(f"{k}.")), None)
        if key is None:
            known = [f"{walked}.{k}" if walked else k for k in node]
            raise SpecError(f"There is no field {path}.", did_you_mean(path, known))
        walked = f"{walked}.{key}" if walked else key
        node, rest = node[key], rest[len(key) + 1 :]
