"""Numbers as a person reads them: percent, points, costs with their prefix, lengths of time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from reprtune.spec.objectives import COST, OBJECTIVES


def percent(fraction: float) -> str:
    """0.0469 -> `4.69 %`."""
    return f"{100 * fraction:.2f} %"


def points(difference: float) -> str:
    """A difference of two fractions in percentage points, with its sign: `+1.20`."""
    return f"{100 * difference:+.2f}".replace("-", "\N{MINUS SIGN}")


def value(objective: str, number: float) -> str:
    """A value of an objective with its unit: `4.69 %` of error, `119 GFLOP` of cost."""
    if OBJECTIVES[objective].is_fraction:
        return percent(number)
    size, name = scale(objective, number)
    return f"{significant(number / size)} {name}"


def signed(objective: str, difference: float) -> str:
    """A difference of an objective with its sign: `+1.20 points` of error, `+3.4 TFLOP` of cost."""
    if OBJECTIVES[objective].is_fraction:
        return f"{points(difference)} points"
    return ("+" if difference >= 0 else "\N{MINUS SIGN}") + value(objective, abs(difference))


def scale(objective: str, largest: float) -> tuple[float, str]:
    """(how many stored ones the unit of an axis is, its name), so that the largest value reads as 10 to 10,000
    where there is such a unit."""
    sizes = OBJECTIVES[objective].sizes
    return next((unit for unit in sizes if largest >= 10 * unit[0]), sizes[-1])


def cost(gflops: float) -> str:
    """Of training."""
    return value(COST, gflops)


def significant(number: float, digits: int = 3) -> str:
    """Three significant digits without an exponent: `0.0123`, `4.57`, `119`, `12,300`."""
    rounded = float(f"{number:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:g}"


def duration(seconds: float) -> str:
    """`45 s`, `3.2 min`, `5.1 h`, `2.3 days`."""
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (size < 86400 and seconds >= size):
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def moment(seconds: float) -> str:
    """Seconds since 1970 as a time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def settings(params: Mapping[str, Any]) -> str:
    """Parameters and their values in one line."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in params.items())


def value_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def count(n: int, one: str, many: str | None = None) -> str:
    """`1 trial`, `3 trials`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def p_text(p: float) -> str:
    """`p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
