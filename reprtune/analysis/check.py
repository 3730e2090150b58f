"""A check of what a study's conclusions rest on, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OK, WARNING, NOT_YET = "ok", "warning", "not applicable"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        name: of `health.CHECKS`. outcome: `ok`, `warning` or `not applicable`. reason: why it is not, as a sentence.
        numbers: what the outcome rests on; the words of each check (`dashboards.checks`) know them.
    """

    name: str
    outcome: str
    reason: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fails(self) -> bool:
        return self.outcome == WARNING


def made(name: str, fails: bool, **numbers: Any) -> Check:
    return Check(name=name, outcome=WARNING if fails else OK, numbers=numbers)


def not_yet(name: str, reason: str, **numbers: Any) -> Check:
    return Check(name=name, outcome=NOT_YET, reason=reason, numbers=numbers)
