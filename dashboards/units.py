"""Numbers as a person reads them: percent, points, costs with their prefix, lengths of time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

COST_UNITS = ((1e9, "EFLOP"), (1e6, "PFLOP"), (1e3, "TFLOP"), (1.0, "GFLOP"))
OBJECTIVE_NAMES = {"val_error": "validation error", "train_gflops": "training cost"}


def percent(fraction: float) -> str:
    """0.0469 -> `4.69 %`."""
    return f"{100 * fraction:.2f} %"


def points(difference: float) -> str:
    """A difference of two fractions in percentage points, with its sign: `+1.20`."""
    return f"{100 * difference:+.2f}".replace("-", "\N{MINUS SIGN}")


def signed(objective: str, difference: float) -> str:
    """A difference of an objective with its sign: `+1.20 points` of error, `+3.4 TFLOP` of cost."""
    if objective == "val_error":
        return f"{points(difference)} points"
    return ("+" if difference >= 0 else "\N{MINUS SIGN}") + cost(abs(difference))


def cost_unit(largest_gflops: float) -> tuple[float, str]:
    """(how many GFLOP one unit is, its name), so that the largest cost reads as 1 to 10,000."""
    for size, name in COST_UNITS:
        if largest_gflops >= 10 * size:
            return size, name
    return COST_UNITS[-1]


def cost(gflops: float) -> str:
    size, name = cost_unit(gflops)
    return f"{significant(gflops / size)} {name}"


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


def count(n: int, one: str, many: str | None = None) -> str:
    """`1 trial`, `3 trials`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
