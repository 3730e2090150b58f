"""What a search varies: a range or a choice for each path of the trial specification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.duration import UNITS, Duration

MAX_VALUES = 1_000_000  # of a grid, which is written out
Scalar = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class IntRange:
    """Whole numbers from low to high inclusive, in steps of `step`."""

    kind: ClassVar[str] = "int"
    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        _check_range("an int range", self.low, self.high, self.step)

    def values(self) -> list[int]:
        return list(range(self.low, self.high + 1, self.step))

    def ends(self) -> list[Any]:
        return [self.low, self.values()[-1]]

    def to_field(self, value: int) -> int:
        return value


@dataclass(frozen=True, kw_only=True)
class FloatRange:
    """Numbers from low to high inclusive; on a grid when `step` is given, logarithmic when `log` is."""

    kind: ClassVar[str] = "float"
    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(
            "a float range",
            self.low,
            self.high,
            1 if self.step is None else self.step,
            grid=self.step is not None,
        )
        if self.log and (self.low <= 0 or self.step is not None):
            raise SpecError(f"A logarithmic range needs low above 0 and no step, but got {self}.")

    def values(self) -> list[float] | None:
        """The grid, or None for a continuous range."""
        if self.step is None:
            return None
        n = int((self.high - self.low) / self.step + 1e-9) + 1
        return [round(self.low + i * self.step, 12) for i in range(n)]

    def ends(self) -> list[Any]:
        grid = self.values()
        return [float(self.low), float(grid[-1] if grid else self.high)]

    def to_field(self, value: float) -> float:
        """On a grid without what adding up steps leaves behind: 0.3, not 0.30000000000000004."""
        return value if self.step is None else round(value, 12)


@dataclass(frozen=True, kw_only=True)
class DurationRange:
    """Durations from low to high inclusive, in whole multiples of `step`, all in one unit."""

    kind: ClassVar[str] = "duration"
    low: Duration
    high: Duration
    step: Duration = Duration.parse("1ep")

    def __post_init__(self) -> None:
        units = {self.low.unit, self.high.unit, self.step.unit}
        if len(units) != 1:
            raise SpecError(f"A duration range needs one unit, but got {self.low}, {self.high}, {self.step}.")
        if any(d.value.denominator != 1 for d in (self.low, self.high, self.step)):
            raise SpecError(f"A duration range needs whole numbers, but got {self.low} to {self.high}.")
        _check_range("a duration range", int(self.low.value), int(self.high.value), int(self.step.value))

    @property
    def unit(self) -> str:
        return self.low.unit

    def values(self) -> list[int]:
        return list(range(int(self.low.value), int(self.high.value) + 1, int(self.step.value)))

    def ends(self) -> list[Any]:
        return [str(self.to_field(v)) for v in (self.values()[0], self.values()[-1])]

    def to_field(self, value: int) -> str:
        return f"{value}{self.unit}"

    def scaled(self, factor: Fraction, unit: str | None = None) -> DurationRange:
        """The same range for a total `factor` times as long, with about as many values."""
        low, high, step = (d.scaled(factor, unit) for d in (self.low, self.high, self.step))
        n = max(0, int((high.value - low.value) // step.value))
        return DurationRange(low=low, high=Duration(low.value + n * step.value, low.unit), step=step)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the given values, without order."""

    kind: ClassVar[str] = "choice"
    options: tuple[str | int | float | bool, ...]

    def __post_init__(self) -> None:
        if len(set(self.options)) != len(self.options) or not self.options:
            raise SpecError(f"A choice needs different options, at least one, but got {list(self.options)}.")

    def values(self) -> list[Scalar]:
        return list(self.options)

    def ends(self) -> list[Any]:
        return list(self.options)

    def to_field(self, value: Scalar) -> Scalar:
        return value


Range = IntRange | FloatRange | DurationRange | Choice


def param_name(path: str, range_: Range) -> str:
    """The name of a searched field in Optuna, MLflow and reports: its last word, with its unit."""
    return _named(path.rsplit(".", 1)[-1], range_)


def param_names(space: Mapping[str, Range]) -> dict[str, str]:
    """Path -> name of every field of a space: its last word, or its last two where others end alike."""
    last = Counter(path.rsplit(".", 1)[-1] for path in space)
    words = {
        path: ".".join(path.split(".")[-1 if last[path.rsplit(".", 1)[-1]] == 1 else -2 :]) for path in space
    }
    return {path: _named(words[path], range_) for path, range_ in space.items()}


def _named(word: str, range_: Range) -> str:
    return f"{word}_{UNITS[range_.unit].rsplit(' ')[-1]}" if isinstance(range_, DurationRange) else word


def _check_range(what: str, low: float, high: float, step: float, *, grid: bool = True) -> None:
    if low > high or step <= 0:
        raise SpecError(
            f"{what[0].upper()}{what[1:]} needs low <= high and step above 0, "
            f"but got low {low}, high {high}, step {step}."
        )
    if grid and (high - low) / step > MAX_VALUES:
        raise SpecError(
            f"{what[0].upper()}{what[1:]} has at most {MAX_VALUES:,} values, but got low {low}, high {high}, "
            f"step {step}.",
            "Raise the step; a float range may also go without one.",
        )
