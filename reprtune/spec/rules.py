"""The checks that specifications share; each error names the field, the rule, the value and a way out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.duration import Duration


def above_0(field: str, value: float) -> None:
    if value <= 0:
        raise SpecError(f"{field} must be above 0, but got {value}.")


def at_least(field: str, value: float, low: float) -> None:
    if value < low:
        raise SpecError(f"{field} must be at least {low}, but got {value}.")


def at_most(field: str, value: float, high: float) -> None:
    if value > high:
        raise SpecError(f"{field} must be at most {high:,}, but got {value}.")


def below_1(field: str, value: float) -> None:
    """At least 0 too."""
    if not 0 <= value < 1:
        raise SpecError(f"{field} must be at least 0 and below 1, but got {value}.")


def between(field: str, value: float, low: float, high: float) -> None:
    """Both ends inclusive."""
    if not low <= value <= high:
        raise SpecError(f"{field} must be between {low} and {high} inclusive, but got {value}.")


def positive_share(field: str, value: float, hint: str | None = None) -> None:
    """A share that is not nothing; 1 is all."""
    if not 0 < value <= 1:
        raise SpecError(f"{field} must be above 0 and at most 1, but got {value}.", hint)


def proper_share(field: str, value: float, hint: str | None = None) -> None:
    """A share that is neither nothing nor all."""
    if not 0 < value < 1:
        raise SpecError(f"{field} must be above 0 and below 1, but got {value}.", hint)


def one_of(field: str, value: str, known: Iterable[str]) -> None:
    known = list(known)
    if value not in known:
        raise SpecError(f"There is no {field} {value!r}.", did_you_mean(str(value), known))


def parse_durations(spec: Any, part: str, *fields: str, hint: str | None = None) -> None:
    """Let durations of a frozen value be given as texts, and hold them to be above 0."""
    for field in fields:
        value = Duration.parse(getattr(spec, field), f"{part}.{field}")
        if value.value <= 0:
            raise SpecError(f"{part}.{field} must be above 0, but got {value}.", hint)
        object.__setattr__(spec, field, value)
