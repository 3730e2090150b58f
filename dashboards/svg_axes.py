"""The axes of a figure that is drawn as SVG: where a value lies on them, and which values are written beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

N_TICKS = 6  # about so many where the figure names none: few enough for a phone
PADDING = 0.03  # of the range, so that no mark is cut at an end
NO_WIDTH = "\N{ZERO WIDTH SPACE}"  # of it are the names of rows that have none
FEW_DECADES = 2  # up to so many, a logarithmic axis also has twos and fives


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Attributes:
    low, high: its ends: of a logarithmic axis their logarithms to base 10, of one of names positions in them.
    grid: has it lines across the figure? ticks: (share of the axis, label).
    names: name -> its position, of an axis of names.
    """

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    log: bool = False
    grid: bool = True
    names: Mapping[str, int]

    def share(self, value: float | str | None) -> float | None:
        """How far along the axis a value lies, 0 to 1; None where it has no place."""
        number = _number(value, self.names, log=self.log)
        return None if number is None else (number - self.low) / (self.high - self.low)


def axis(described: Mapping[str, Any], values: Sequence[float | str | None]) -> Axis:
    """The axis that plotly would draw from this part of a layout for these values."""
    log = described.get("type") == "log"
    names = {name: i for i, name in enumerate(described.get("categoryarray", ()))}
    known = [n for n in (_number(value, names, log=log) for value in values) if n is not None]
    low, high = described.get("range") or _range(known, from_zero=described.get("rangemode") == "tozero")
    title, grid = described.get("title", {}).get("text", ""), described.get("showgrid", True)
    bare = Axis(title=title, low=low, high=high, log=log, grid=grid, names=names)
    whole = all(isinstance(value, int) for value in values if value is not None)
    told = _ticks(described, bare, whole=whole)
    placed = [(bare.share(value), label) for value, label in told]
    inside = tuple((share, label) for share, label in placed if share is not None and 0 <= share <= 1)
    return replace(bare, ticks=inside)


def _number(value: float | str | None, names: Mapping[str, int], *, log: bool) -> float | None:
    if isinstance(value, str):
        return names[value]
    if value is None or not math.isfinite(value) or (log and value <= 0):
        return None
    return math.log10(value) if log else value


def _range(known: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    low, high = min(known, default=0.0), max(known, default=1.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    room = PADDING * (high - low)
    return (low if from_zero and low == 0 else low - room), high + room


def _ticks(described: Mapping[str, Any], bare: Axis, *, whole: bool) -> list[tuple[float | str, str]]:
    """(value, label), some of them outside."""
    if "tickvals" in described:
        return list(zip(described["tickvals"], described["ticktext"], strict=True))
    if bare.names:
        return [(name, name) for name in bare.names if name.strip(NO_WIDTH)]
    values = _decades(bare.low, bare.high) if bare.log else nice(bare.low, bare.high, whole=whole)
    return [(value, f"{value:g}") for value in values]


def _decades(low: float, high: float) -> list[float]:
    """Round numbers of a logarithmic axis; those of a linear one where it spans hardly more than one of them."""
    exponents = range(math.floor(low), math.ceil(high) + 1)
    digits = (1, 2, 5) if high - low <= FEW_DECADES else (1,)
    found = [
        float(f"{digit}e{e}") for e in exponents for digit in digits if low <= math.log10(digit) + e <= high
    ]
    if len(found) < 2:
        return [value for value in nice(10**low, 10**high) if value > 0]
    return found[:: math.ceil(len(found) / (N_TICKS + 1))]


def nice(low: float, high: float, *, whole: bool = False) -> list[float]:
    """About `N_TICKS` multiples of 1, 2 or 5 times a power of ten; `whole`: of whole numbers only."""
    low, high = min(low, high), max(low, high)
    rough = (high - low) / N_TICKS
    power = math.floor(math.log10(rough))
    step = next(s for s in (float(f"{digit}e{power}") for digit in (1, 2, 5, 10)) if s >= rough * (1 - 1e-9))
    if whole:
        step = max(step, 1.0)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
