"""What `list --long` says of each entry of the catalog, as JSON values: parts of a method and stop rules with all
that a person wants to know before taking them, and a method as what its parts add up to.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from reprtune.spec import catalog
from reprtune.spec.codec import to_plain
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.part import Own
from reprtune.spec.parts.places import PLACES, RECORDS
from reprtune.spec.stop_rules import StopRule
from reprtune.spec.task import ModelSpec, TaskSpec

OWN_FORM = "python:FILE.py:NAME"
TEXTS = ("paper", "cost", "budget", "when", "traps", "needs")  # of a part's card, in the order of reading
OTHERS = {"datasets": TaskSpec, "models": ModelSpec}  # kind that is no part -> where its options are


def short(kind: str) -> list[dict[str, Any]]:
    """What `list` says without `--long`."""
    if kind == "records":
        return [
            {"name": card["name"], "line": card["line"], "fields": [o["name"] for o in card["options"]]}
            for card in cards(kind)
        ]
    fields = ("name", "line", "cost", "needs", "fields")
    return [{field: getattr(entry, field) for field in fields} for entry in catalog.CATALOG[kind]]


def cards(kind: str) -> list[dict[str, Any]]:
    """Every entry of a kind of the catalog, or of `records`, in its order."""
    if kind == "records":
        return [_of_class(name, record) for name, record in RECORDS.items()]
    if kind in catalog.KINDS:
        base = PLACES[catalog.KINDS[kind]]
        own = [_of_class(OWN_FORM, base.own)] if base.own is not None else []
        return [*(_of_class(part.kind, part) for part in base.kinds), *own]
    if kind == "stop-rules":
        return [_of_class(rule.kind, rule) for rule in StopRule.kinds]
    if kind == "methods":
        return [of_method(entry, catalog.resolve(kind, entry.name)) for entry in catalog.CATALOG[kind]]
    return [_of_entry(entry, kind) for entry in catalog.CATALOG[kind]]


def _of_class(name: str, kind: type[Any]) -> dict[str, Any]:
    """A part, record or stop rule: its card, and its options with what takes their idea away."""
    card = kind.card
    options = () if issubclass(kind, Own) else dataclasses.fields(kind)
    return {
        "name": name,
        "line": card.line,
        **{text: getattr(card, text) for text in TEXTS},
        "options": [
            {
                "name": f.name,
                "default": to_plain(f.default),
                "null": to_plain(f.metadata["null"]),
                "words": list(f.metadata["words"]),
            }
            for f in options
        ],
    }


def of_method(entry: catalog.Entry, method: MethodSpec) -> dict[str, Any]:
    """A method: its parts, how many networks it trains, and what the cards of its parts warn of."""
    notes = {text: _joined(method, text) for text in ("cost", "traps", "needs")}
    return {
        "name": entry.name,
        "line": entry.line,
        "paper": entry.paper,
        **notes,
        "budget": str(method.n_members),
        "networks": method.n_members,
        "parts": pieces(method),
    }


def _joined(method: MethodSpec, text: str) -> str:
    """What the cards of all its parts say."""
    said = [(part.name, getattr(part.card, text)) for _, part in method.parts()]
    return "; ".join(f"{name}: {what}" for name, what in said if what not in ("", "none"))


def pieces(method: MethodSpec) -> list[dict[str, Any]]:
    """Every part and record that is there: its place, its kind, and the options that are not as by default."""
    there = [(field.name, getattr(method, field.name)) for field in dataclasses.fields(method)]
    return [
        {"place": place, **_changed(piece)}
        for place, value in there
        for piece in (value if isinstance(value, tuple) else (value,))
        if piece is not None
    ]


def _changed(piece: Any) -> dict[str, Any]:
    """The kind of a part, where it has one, and the options that are not as they are by default."""
    plain, default = to_plain(piece), {} if isinstance(piece, Own) else to_plain(type(piece)())
    return {k: v for k, v in plain.items() if k == "kind" or k not in default or v != default[k]}


def _of_entry(entry: catalog.Entry, kind: str) -> dict[str, Any]:
    """A data set or network; its options have no null."""
    fields = {f.name: f for f in dataclasses.fields(OTHERS[kind])}
    return {
        "name": entry.example,
        "line": entry.line,
        **dict.fromkeys(TEXTS, ""),
        "cost": entry.cost,
        "needs": entry.needs,
        "options": [{"name": name, "default": to_plain(fields[name].default)} for name in entry.fields],
    }
