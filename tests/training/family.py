"""Every method of the catalog as a trial of a fraction of a second, taken from the catalog, so that one that is added is
tested by being there."""

from __future__ import annotations

from typing import Any

from reprtune.spec import catalog
from reprtune.spec.edit import changed
from reprtune.spec.method import MethodSpec
from reprtune.spec.trial import TrialSpec
from tests.training.tiny import SPEC

METHODS = catalog.names("methods")
LENGTHS: dict[
    str, Any
] = {  # option -> its value in six epochs of layers of six filters, where the method has it
    "cycles": 2,
    "s1": "1ep",
    "s2": "1ep",
    "generations": 3,
    "prune_ratio": 0.3,
}


def method(name: str) -> MethodSpec:
    found: MethodSpec = catalog.resolve("methods", name)
    return found


def lengths(name: str) -> dict[str, Any]:
    """What makes a method fit the tiny trial; restores at once stay so."""
    own = method(name)
    found = {f"method.{word}": value for word, value in LENGTHS.items() if own.option(word) is not None}
    if own.cycles is not None and not own.cycles.s2.value:
        del found["method.s2"]
    return found


def trial(name: str, base: TrialSpec = SPEC, **changes: Any) -> TrialSpec:
    """The tiny trial with a method of the catalog."""
    return changed(base, {"method": name, **lengths(name), **changes})
