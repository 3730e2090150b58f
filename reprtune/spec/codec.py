"""Frozen dataclasses to plain JSON values and back, with errors that name the field.

The canonical JSON of a value is what its digest is taken of: sorted keys, no blanks,
defaults written out (but of fields that came `later`), so that two specifications are the same exactly when
their texts are.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.duration import Duration

T = TypeVar("T")
LONGEST_NAME = 100  # of what is called by its name in a message
LARGEST = 2**64  # of a whole number; what generators and databases take
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


class Tagged(abc.ABC):
    """A value that writes and reads itself: a word in its plain form says which type it is."""

    @abc.abstractmethod
    def plain(self) -> dict[str, Any]:
        """As JSON values."""

    @classmethod
    @abc.abstractmethod
    def read(cls, plain: Any, path: str) -> Any:
        """What `plain` returned as a value again.

        Raises:
            SpecError: naming `path`, the rule and the value.
        """


def later(default: Any) -> Any:
    """A field that older specifications lack: at its default it is left out of the plain form, so that digests and
    names of what is stored stay as they are."""
    return dataclasses.field(default=default, metadata={"later": True})


def to_plain(value: Any, *, whole: bool = False) -> Any:
    """Dataclasses, durations, tuples and mappings as dicts, texts and lists; 1.0 as 1, its equal.

    Args:
        whole: with the fields that are left out at their defaults (see `later`), to change or to show them.
    """
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, Tagged):
        return value.plain()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        there = {
            f.name: getattr(value, f.name) for f in dataclasses.fields(value) if whole or _is_said(value, f)
        }
        plain = {name: to_plain(inner, whole=whole) for name, inner in there.items()}
        kind = getattr(value, "kind", None)
        return plain if kind is None else {"kind": kind, **plain}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, whole=whole) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v, whole=whole) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _is_said(value: Any, field: dataclasses.Field[Any]) -> bool:
    """Does the plain form need the field to be read back?"""
    return not field.metadata.get("later") or getattr(value, field.name) != field.default


def canonical_json(value: Any) -> str:
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def from_plain(cls: type[T], plain: Any, path: str = "") -> T:
    """Build `cls` from plain values, checking every type.

    Raises:
        SpecError: naming the path of the first wrong field, the rule and the value.
    """
    return typing.cast(T, _read(cls, plain, path))


def _read(kind: Any, plain: Any, path: str) -> Any:
    if kind in WORDS:
        return _read_scalar(kind, plain, path)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(args, plain, path)
    if kind is Duration:
        return Duration.parse(plain, path)
    if origin is None and isinstance(kind, type) and issubclass(kind, Tagged):
        return kind.read(plain, path)
    if origin is tuple:
        if not isinstance(plain, (list, tuple)):
            raise _wrong(path, "a list", plain)
        return tuple(_read(args[0], item, _item_path(path, i, item)) for i, item in enumerate(plain))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(plain, Mapping):
            raise _wrong(path, "a table of names and values", plain)
        return {str(k): _read(args[1], v, f"{path}.{k}" if path else str(k)) for k, v in plain.items()}
    if dataclasses.is_dataclass(kind):
        return read_fields(kind, _without_kind(kind, plain, path), path)
    return plain


def _item_path(path: str, i: int, item: Any) -> str:
    """The path of one in a list: by its name where it has one, else by its index; of sections the name alone, as a
    person types it: `search.slots`."""
    name = _name(item)
    return f"{path}[{i}]" if name is None else _named_path(path, name)


def _name(item: Any) -> str | None:
    """What a table is called; None where it has no name."""
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME else None


def _named_path(path: str, name: str) -> str:
    return f"{path}.{name}".removeprefix("sections.")


def _without_kind(cls: Any, plain: Any, path: str) -> Any:
    """The table without the word that names the one class it can be of."""
    word = getattr(cls, "kind", None)
    if not isinstance(word, str) or not isinstance(plain, Mapping) or "kind" not in plain:
        return plain
    if plain["kind"] != word:
        raise SpecError(f"{path}.kind must be {word}, but got {shown(plain['kind'])}.")
    return {name: value for name, value in plain.items() if name != "kind"}


def _read_union(args: tuple[Any, ...], plain: Any, path: str) -> Any:
    if plain is None and type(None) in args:
        return None
    args = tuple(a for a in args if a is not type(None))
    if len(args) == 1:
        return _read(args[0], plain, path)
    if any(not hasattr(a, "kind") for a in args):  # a plain scalar of several allowed types
        if any(isinstance(plain, a) and (a is bool or not isinstance(plain, bool)) for a in args):
            return plain
        raise _wrong(path, " or ".join(WORDS.get(a, str(a)) for a in args), plain)
    kinds = {a.kind: a for a in args}
    name = plain.get("kind") if isinstance(plain, Mapping) else None
    if not isinstance(name, str) or name not in kinds:
        raise SpecError(f"{path}.kind must be one of {', '.join(kinds)}, but got {name!r}.")
    return _read(kinds[name], {k: v for k, v in plain.items() if k != "kind"}, path)


def read_fields(cls: Any, plain: Any, path: str) -> Any:
    """A dataclass from its fields; as `from_plain`, whatever the class itself can read.

    Raises:
        SpecError: a field is unknown, absent or of another type.
    """
    if isinstance(plain, cls):
        return plain
    if not isinstance(plain, Mapping):
        raise _wrong(path or cls.__name__, "a table of names and values", plain)
    hints = _hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    for name in plain:
        if name not in names:
            where = f"{path}.{name}" if path else str(name)
            raise SpecError(f"There is no field {where}.", did_you_mean(str(name), names))
    values = {n: _read(hints[n], v, f"{path}.{n}" if path else n) for n, v in plain.items()}
    missing = [
        f.name
        for f in dataclasses.fields(cls)
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SpecError(f"{path or cls.__name__} needs the field {missing[0]}, which is absent.")
    return cls(**values)


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    """Types of the fields; finding them takes longer than all the rest."""
    return typing.get_type_hints(cls)


def _read_scalar(kind: type, plain: Any, path: str) -> Any:
    right = isinstance(plain, kind) and (kind is bool or not isinstance(plain, bool))
    if isinstance(plain, int) and abs(plain) >= LARGEST:
        raise SpecError(f"{path} must be below 2^64, but got a number of {plain.bit_length()} bits.")
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        plain, right = float(plain), True
    if not right or (kind is float and not math.isfinite(plain)):
        raise _wrong(path, WORDS[kind], plain)
    return plain


def check_plain(value: Any, path: str) -> Any:
    """A value of any type that JSON can say, tuples as lists and durations as texts.

    Raises:
        SpecError: it, or something in it, is of another type, no finite number or a huge one.
    """
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: check_plain(inner, f"{path}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [check_plain(inner, f"{path}[{i}]") for i, inner in enumerate(value)]
    if value is None or isinstance(value, (bool, str, Duration)):
        return to_plain(value)
    if not isinstance(value, (int, float)):
        raise _wrong(path, "a text, a number, true, false, a list or a table", value)
    return to_plain(_read_scalar(int if isinstance(value, int) else float, value, path))


def shown(value: Any) -> str:
    """As a message shows it: not longer than a line or two."""
    said = "a huge number" if isinstance(value, int) and abs(value) >= LARGEST else repr(value)
    return said if len(said) <= 200 else said[:199] + "…"


def _wrong(path: str, rule: str, value: Any) -> SpecError:
    return SpecError(f"{path} must be {rule}, but got {shown(value)}.")


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Field by field, what differs between two plain values: (path, old, new). Tables that have names are compared
    by these."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        rows = []
        for key in sorted({*old, *new}):
            where = f"{path}.{key}" if path else str(key)
            rows += differences(old.get(key), new.get(key), where)
        return rows
    ours, theirs = _by_name(old), _by_name(new)
    if ours and theirs and (set(ours) != set(theirs) or list(ours) == list(theirs)):
        names = dict.fromkeys((*ours, *theirs))
        return [row for n in names for row in differences(ours.get(n), theirs.get(n), _named_path(path, n))]
    return [] if old == new else [(path, old, new)]


def _by_name(items: Any) -> dict[str, Any]:
    """Name -> table of a list of tables with different names; empty for anything else."""
    found = {name: item for item in items if (name := _name(item))} if isinstance(items, list) else {}
    return found if isinstance(items, list) and len(found) == len(items) else {}
