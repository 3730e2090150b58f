"""Histories as one short text: canonical JSON, deflated, base64."""

from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import fields, replace
from typing import Any

from reprtune.errors import SpecError
from reprtune.history import NUMBERS, PHASES, Drop, History, Point
from reprtune.spec.codec import canonical_json, from_plain

BASE64 = "eJ"  # how a deflated text begins in base64; records of old have base85, which Python decodes slowly
N_FIELDS = len(fields(Point))


def pack(history: History) -> str:
    return base64.b64encode(zlib.compress(canonical_json(history).encode(), 6)).decode()


def unpack(text: str) -> History:
    """Raises SpecError naming the field where the history is not one; ValueError or zlib.error where the
    text is damaged."""
    packed = base64.b64decode(text) if text.startswith(BASE64) else base64.b85decode(text)
    plain = json.loads(zlib.decompress(packed))
    try:
        if not isinstance(plain["points"], list) or not isinstance(plain["drops"], list):
            raise ValueError("not lists")
        points, drops = _points(plain["points"]), _drops(plain["drops"])
    except (KeyError, TypeError, ValueError, AttributeError, SpecError):
        return from_plain(History, plain, "history")  # which says what is wrong
    short = from_plain(History, {**plain, "points": (), "drops": ()}, "history")
    return replace(short, points=points, drops=drops)


def plots_data(history: History, title: str) -> str:
    """What a trial's page is drawn from, as one text: see `read_plots_data`."""
    return json.dumps({"title": title, "history": pack(history)})


def read_plots_data(text: str) -> tuple[History, str]:
    """The history and the title that `plots_data` was given. Raises as `unpack`."""
    found = json.loads(text)
    return unpack(found["history"]), str(found["title"])


def _points(rows: list[dict[str, Any]]) -> tuple[Point, ...]:
    """The same as `from_plain`, which looks up every field's type: a study has a million points."""
    found = []
    for row in rows:
        numbers = {name: row[name] for name in NUMBERS}
        right = math.isfinite(sum(numbers.values())) and type(row["step"]) is type(row["cycle"]) is int
        if len(row) != N_FIELDS or not right or row["phase"] not in PHASES:
            raise ValueError("not a point")
        floats = {name: float(number) for name, number in numbers.items()}
        found.append(Point(step=row["step"], phase=row["phase"], cycle=row["cycle"], **floats))
    return tuple(found)


def _drops(rows: list[dict[str, Any]]) -> tuple[Drop, ...]:
    """The indices, of which there are thousands, without a look at each one's type by name."""
    found = []
    for row in rows:
        if any({*map(type, indices)} - {int} for indices in row["dropped"].values()):
            raise ValueError("not indices")
        dropped = {layer: tuple(indices) for layer, indices in row["dropped"].items()}
        found.append(replace(from_plain(Drop, {**row, "dropped": {}}), dropped=dropped))
    return tuple(found)
