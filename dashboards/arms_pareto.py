"""Arms by accuracy and training cost, with intervals on both sides, over the curve of plain training."""

from __future__ import annotations

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.paired import difference_text
from dashboards.plain_curve import add_curve
from dashboards.units import count, listed, percent, points, scale, value
from reprtune.analysis.arms_cost import ArmPoint, ArmsByCost, arms_by_cost
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import COST, OBJECTIVES

TITLE = f"Arms against {OBJECTIVES[COST].title}"
ABOUT = "arms"
ROOM = 0.06  # above and below, of the range; names stand above their marks
NAMED = 12  # arms that are written beside their marks; more would cover each other
ON_FRONT, BEATEN = "no other arm is better in both", "another arm is better in both"


def info(record: StudyRecord) -> ArmsByCost:
    return arms_by_cost(record)


def figure(info: ArmsByCost) -> go.Figure:
    """A mark for each arm; filled: on the front of the means."""
    fig = theme.figure(480)
    size, unit = scale(COST, max((one.cost for one in info.points), default=1.0))
    if info.curve is not None:
        add_curve(fig, info.curve, size, {})
    drawn = [one for one in info.points if not (one.is_plain and info.curve)]
    for name, on_front in ((ON_FRONT, True), (BEATEN, False)):
        _add(fig, [one for one in drawn if one.on_front is on_front], name, size, named=len(drawn) <= NAMED)
    fig.update_xaxes(title_text=f"{OBJECTIVES[COST].title}, {unit}")
    fig.update_yaxes(title_text=f"{info.measured_on} accuracy, %", range=_accuracies(info))
    return fig


def _accuracies(info: ArmsByCost) -> list[float] | None:
    """A range that holds all bars, but no accuracy that cannot be: t intervals know no bounds."""
    lengths = info.curve.lengths if info.curve else ()
    ends = [
        100 * (1 - mean + sign * (half or 0))
        for mean, half in (
            *((one.error, one.error_half) for one in info.points),
            *((one.mean, one.half) for one in lengths),
        )
        for sign in (-1, 1)
    ]
    if not ends:
        return None
    room = ROOM * (max(ends) - min(ends)) or 1.0
    return [max(0.0, min(ends) - room), min(100.0, max(ends) + room)]


def _add(fig: go.Figure, arms: list[ArmPoint], name: str, size: float, *, named: bool) -> None:
    if not arms:
        return
    front = name == ON_FRONT
    fig.add_scatter(
        x=[one.cost / size for one in arms], y=[100 * (1 - one.error) for one in arms], name=name,
        mode="markers+text" if named and front else "markers", text=[theme.text(_name(one)) for one in arms],
        textposition="top center", textfont={"size": 11},
        marker={
            "symbol": "circle" if front else "circle-open", "size": 11, "color": theme.BLUE if front else theme.SKY,
            "line": {"width": 2},
        },
        error_x=_bars([one.cost_half for one in arms], 1 / size),
        error_y=_bars([one.error_half for one in arms], 100),
        hovertext=[_hover(one) for one in arms], hoverinfo="text",
    )  # fmt: skip


def _bars(halves: list[float | None], by: float) -> dict[str, object]:
    return {"type": "data", "array": [by * (h or 0) for h in halves], "thickness": 1.2, "width": 4}


def _hover(one: ArmPoint) -> str:
    mean = f"error {percent(one.error)}, mean of {count(one.n, 'seed')}"
    return f"<b>{theme.text(_name(one))}</b><br>{mean}<br>{value(COST, one.cost)}"


def words(info: ArmsByCost) -> Words:
    missing = None
    if not info.points:
        missing = "No arm has a complete run yet."
    elif len(info.points) == 1:
        missing = f"Only arm {info.points[0].arm} has a complete run, so there is nothing to hold it against."
    return Words(
        lead=_lead(info) if missing is None else (),
        missing=missing,
        reading=_reading(info),
        table=_table(info) if info.points else None,
        picture=f"Mean accuracy against mean training cost of {count(len(info.points), 'arm')}, with intervals on both sides",
    )


def _lead(info: ArmsByCost) -> tuple[str, ...]:
    front = sorted((one for one in info.points if one.on_front), key=lambda one: one.cost)
    ends = (
        f"{_name(front[0])} ({_place(front[0])})"
        if len(front) == 1
        else f"from {_name(front[0])} ({_place(front[0])}) to {_name(front[-1])} ({_place(front[-1])})"
    )
    said = [
        _beside(info),
        (
            f"By their means, {len(front)} of {count(len(info.points), 'arm')} {'is' if len(front) == 1 else 'are'} beaten by no other in "
            f"both {info.measured_on} error and training cost: {ends}."
        ),
    ]
    said += [
        f"{count(one.n_diverged, 'run')} of arm {one.arm} diverged and {'is' if one.n_diverged == 1 else 'are'} not in its mean."
        for one in info.points
        if one.n_diverged
    ]
    return tuple(text for text in said if text)


def _name(one: ArmPoint) -> str:
    return one.arm + ", explored" * one.explored


def _place(one: ArmPoint) -> str:
    return f"{percent(one.error)} at {value(COST, one.cost)}"


def _beside(info: ArmsByCost) -> str:
    """Which arms lie below the curve, interval and all."""
    if info.curve is None:
        return ""
    held = [one for one in info.points if one.against is not None and not one.explored]
    if not held:
        return "No arm costs as much as some length of plain training, so none can be held against it."
    clear = [one for one in held if one.against and one.against.high is not None and one.against.high < 0]
    named = (
        f": {listed([f'{one.arm} ({points(one.against.mean)} points)' for one in clear if one.against])}"
        if clear
        else ""
    )
    return (
        f"Of {count(len(held), 'arm')} within the costs of plain training, {len(clear) or 'none'} "
        f"{'has' if len(clear) < 2 else 'have'} a lower {info.measured_on} error than plain training of the same cost by an interval that "
        f"leaves out 0 (not corrected for {count(len(held), 'arm')}){named}."
    )


def _reading(info: ArmsByCost) -> str:
    curve = (
        " The dashed line is what the same cost buys without any method: plain training of other lengths (triangles)."
        if info.curve
        else " The study has no other lengths of plain training, which would be the measure of a gain against cost."
    )
    return (
        "Up and left is better. Marks are means over seeds, bars their 95 % t intervals over seeds, in both directions, for each arm by "
        "itself: whether two arms differ, the paired differences tell, whose intervals are narrower. The cost counts dropped filters as "
        f"absent.{curve}"
    )


def _table(info: ArmsByCost) -> Table:
    curve = ("minus plain training of its cost",) if info.curve else ()
    return Table(
        caption=f"Arms by {info.measured_on} error and training cost: means with half of their 95 % intervals over seeds",
        header=("arm", "seeds", "error, %", "±", OBJECTIVES[COST].title, "± %", "better in both", *curve),
        rows=tuple(
            (
                _name(one), str(one.n), f"{100 * one.error:.2f}", _half(one.error_half, 100), value(COST, one.cost),
                _half(one.cost_half, 100 / one.cost), "none" if one.on_front else "some", *((difference_text(one.against),) if curve else ()),
            )
            for one in info.points
        ),
    )  # fmt: skip


def _half(number: float | None, by: float) -> str:
    return "" if number is None else f"{by * number:.2f}"
