"""Every method of the catalog, and every way of the table of docs/methods.md, as a trial of a fraction of a second: what is
added there is tested by being there."""

from __future__ import annotations

from typing import Any

from reprtune.spec import catalog
from reprtune.spec.edit import changed
from reprtune.spec.family import ROWS
from reprtune.spec.method import MethodSpec
from reprtune.spec.trial import TrialSpec
from tests.training.tiny import SPEC

METHODS = catalog.names("methods")
# Option -> its value in six epochs of layers of six filters, where the method has it.
FITTING: dict[str, Any] = {
    "cycles": 2,
    "s1": "1ep",
    "s2": "1ep",
    "generations": 3,
    "prune_ratio": 0.3,
    "srip_until": "3ep",
}
WAYS = {  # of the table: method and what else is changed, where it is not as in the catalog
    f"{row}: {line.name}": (line.method, line.changes)
    for row, lines in ROWS.items()
    for line in lines
    if line.changes
}


def trial(name: str, base: TrialSpec = SPEC, **changes: Any) -> TrialSpec:
    """The tiny trial with a method of the catalog."""
    one = changed(base, {"method": name, **changes})
    return changed(one, fitting(one.method))


def fitting(method: MethodSpec) -> dict[str, Any]:
    """What makes a method fit the tiny trial; restores at once stay so."""
    found = {f"method.{word}": value for word, value in FITTING.items() if method.option(word) is not None}
    if method.cycles is not None and not method.cycles.s2.value:
        del found["method.s2"]
    return found
