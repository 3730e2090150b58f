"""Errors of arms over seeds, and their paired differences: two panels that several pages share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.units import p_text, percent, points
from reprtune.analysis.paired import MIN_PAIRS, Difference, SeedValue
from reprtune.analysis.power import MOST

SEEN = (
    "Would have shown: the smallest difference that so many seeds of such a spread show in four of five studies; seeds to "
    "decide: how many would show the difference seen, if it is the true one. Both without correction."
)


@dataclass(frozen=True)
class Errors:
    """Of one arm; `mean` is None without any."""

    name: str
    values: Sequence[SeedValue]
    mean: float | None


def add_errors(fig: go.Figure, arms: Sequence[Errors]) -> None:
    """In the first row of panels: a mark for every seed, and the means."""
    for i, arm in enumerate(arms):
        colour, symbol = theme.arm_look(i)
        name = theme.text(arm.name)
        fig.add_scatter(
            x=[100 * e.value for e in arm.values], y=[name] * len(arm.values),
            mode="markers", showlegend=False,
            marker={"symbol": symbol, "size": 10, "color": colour, "opacity": 0.75},
            hovertext=[f"{name}, seed {e.seed}: {percent(e.value)}" for e in arm.values], hoverinfo="text",
            row=1, col=1,
        )  # fmt: skip
    known = [(theme.text(a.name), a.mean, len(a.values)) for a in arms if a.mean is not None]
    fig.add_scatter(
        x=[100 * mean for _, mean, _ in known], y=[name for name, *_ in known],
        mode="markers", name="mean",
        marker={"symbol": "line-ns-open", "size": 22, "color": theme.BLUE, "line": {"width": 3}},
        hovertext=[f"{name}: mean of {n}, {percent(mean)}" for name, mean, n in known],
        hoverinfo="text",
        row=1, col=1,
    )  # fmt: skip


def add_differences(fig: go.Figure, differences: Sequence[tuple[str, Difference]], row: int = 2) -> None:
    """In a row of panels: every seed, mean and interval of named differences, around 0."""
    shown = [(theme.text(name), d) for name, d in differences]
    fig.add_scatter(
        x=[100 * p.value for _, d in shown for p in d.pairs], y=[name for name, d in shown for _ in d.pairs],
        mode="markers", name="one seed", marker={"symbol": "circle-open", "size": 8, "color": theme.GREY},
        hovertext=[f"{name}, seed {p.seed}: {points(p.value)}" for name, d in shown for p in d.pairs],
        hoverinfo="text", row=row, col=1,
    )  # fmt: skip
    half = [100 * (d.high - d.mean) if d.high is not None else 0 for _, d in shown]
    fig.add_scatter(
        x=[100 * d.mean for _, d in shown], y=[name for name, _ in shown], mode="markers",
        name="mean difference, 95 % interval", marker={"symbol": "diamond", "size": 11, "color": theme.GREEN},
        error_x={"type": "data", "array": half, "color": theme.GREEN, "thickness": 2, "width": 7},
        hovertext=[f"{name}: {difference_text(d)}" for name, d in shown], hoverinfo="text", row=row, col=1,
    )  # fmt: skip
    fig.update_xaxes(range=around_zero([d for _, d in shown]), row=row, col=1)
    fig.add_vline(x=0, line={"color": theme.GREY, "width": 1.5, "dash": "dot"}, row=row, col=1)


def around_zero(differences: Sequence[Difference]) -> list[float]:
    """A range that holds every seed, every interval and 0, with a little room."""
    ends = [0.0, *(p.value for d in differences for p in d.pairs)]
    ends += [e for d in differences for e in (d.low, d.high) if e is not None]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return [100 * (min(ends) - room), 100 * (max(ends) + room)]


def no_interval(d: Difference) -> str:
    """Why a difference has none."""
    if d.is_constant and d.n >= MIN_PAIRS:
        return "all seeds differ by the same amount, so there is no spread to judge by"
    return "too few for an interval"


def difference_text(d: Difference | None) -> str:
    """`-0.52 [-0.80, -0.24]` in percentage points; empty for None."""
    if d is None:
        return ""
    if d.low is None or d.high is None:
        return f"{points(d.mean)} (n = {d.n}, no interval)"
    return f"{points(d.mean)} [{points(d.low)}, {points(d.high)}]"


def smallest_text(difference: float | None) -> str:
    """The smallest effect that was to be seen, in percentage points; empty for None."""
    return "" if difference is None else f"{100 * difference:.2f}"


def needed_text(n: int | None) -> str:
    """How many seeds would decide; empty for None."""
    return "" if n is None else f"more than {MOST:,}" if n > MOST else f"{n:,}"


def p_cell(p: float | None) -> str:
    """`0.012`, `< 0.001`; empty for None."""
    return "" if p is None else p_text(p).removeprefix("p ").removeprefix("= ")
