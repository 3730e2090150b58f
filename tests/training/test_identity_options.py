"""Every option of every method is in the names of the states from where it acts, and in none before."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain
from reprtune.training.parts.schedules import Event
from tests.training.family import METHODS, WAYS, trial
from tests.training.test_identity import common
from tests.training.tiny import LOADED_DATA, names

# Place -> the kinds of events at which it first acts; those of no event act in every step.
ACTS = {
    "criterion": ("begin", "drop", "renew"),
    "selection": ("begin", "drop", "renew"),
    "drop": ("drop",),
    "restore": ("restore", "renew"),
    "restore_rules": ("restore", "renew"),
    "exchange": ("exchange",),
    "ending": ("end",),
    "gradient": (),
    "losses": (),
    "networks": (),
}
# Whose numbers are in the names instead: with a constant learning rate a schedule that begins anew is no other one.
BY_RATES = ("restore_lr", "restore_lr_scale")


def trials() -> dict[str, TrialSpec]:
    """Every method, and every way of the table, in six epochs."""
    ways = {f"{method}, {way}": trial(method, **changes) for way, (method, changes) in WAYS.items()}
    return {name: trial(name) for name in METHODS} | ways


TRIALS = trials()


def others(part: Any, name: str) -> list[Any]:
    """Values of an option that are not the one it has, in the order in which they are tried."""
    value, field = getattr(part, name), next(f for f in fields(part) if f.name == name)
    if words := field.metadata.get("words"):
        return [word for word in words if word != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, Duration):
        return ["2ep", "1ep"]
    if isinstance(value, tuple):
        return [["conv2"]]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [0.25, 0.6] if not value else [value / 2]


def cases() -> list[tuple[str, str, str]]:
    """(trial, place, option): of each kind of part where it can first have another value."""
    found: dict[tuple[type, str], tuple[str, str, str]] = {}
    for name, one in TRIALS.items():
        method = one.method
        parts: list[tuple[str, Any]] = [
            *method.parts(),
            ("restore_rules", method.restore_rules),
            ("networks", method.networks),
        ]
        for place, part in parts:
            for option in (
                (f.name for f in fields(part) if f.name not in BY_RATES) if part is not None else ()
            ):
                key = (type(part), option)
                if key not in found and changed_trial(one, place, option) is not None:
                    found[key] = name, place, option
    return [*found.values()]


@functools.cache
def chain_of(name: str) -> Chain:
    return Chain(TRIALS[name], LOADED_DATA)


def changed_trial(one: TrialSpec, place: str, option: str) -> TrialSpec | None:
    """With another value of that option; None where it can have no other beside the rest of the method."""
    parts = {p: part for p, part in one.method.parts() if option in part.options()}
    for value in others(parts.get(place) or getattr(one.method, place), option):
        try:
            return changed(one, {f"method.{option}": value})
        except SpecError:
            continue
    return None


@pytest.mark.parametrize(("name", "place", "option"), cases())
def test_an_option_counts_from_where_it_acts(name: str, place: str, option: str) -> None:
    """All states before the first event in which its place acts are shared, and none after it; of a schedule all
    before what it moves."""
    one = TRIALS[name]
    other = changed_trial(one, place, option)
    assert other is not None
    run = chain_of(name)
    shared = common(run.names, names(other))
    if place == "schedule":
        assert shared < len(run.names)
        return
    first = [0]
    if kinds := ACTS[place]:
        first = [i + 1 for i, item in enumerate(run.items) if isinstance(item, Event) and item.kind in kinds]
    assert shared == first[0]
    assert not {*run.names[shared:]} & {*names(other)}
