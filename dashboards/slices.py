"""Each objective over each searched parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import GAP, panels
from dashboards.points import TrialPoint, trial_points
from dashboards.units import OBJECTIVE_NAMES, cost_unit, count, percent, value_text
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Choice, FloatRange, Range

TITLE = "Parameter by parameter"


@dataclass(frozen=True, kw_only=True)
class SlicesInfo:
    """Complete trials only.

    Attributes:
        params: name -> its options as texts when it has no order, else an empty list.
        ends: name -> lowest and highest value of a parameter with an order.
        logarithmic: parameters on a logarithmic range.
    """

    objectives: tuple[str, ...]
    params: Mapping[str, tuple[str, ...]]
    ends: Mapping[str, tuple[float, ...]]
    logarithmic: tuple[str, ...]
    trials: tuple[TrialPoint, ...]


def info(record: StudyRecord) -> SlicesInfo:
    ranges = record.spec.params
    return SlicesInfo(
        objectives=record.spec.objectives,
        params={
            name: tuple(value_text(o) for o in r.options) if isinstance(r, Choice) else ()
            for name, r in ranges.items()
        },
        ends={name: _ends(r) for name, r in ranges.items() if not isinstance(r, Choice)},
        logarithmic=tuple(name for name, r in ranges.items() if isinstance(r, FloatRange) and r.log),
        trials=tuple(p for p in trial_points(record, record.trials) if p.outcome == "complete"),
    )


def _ends(range_: Range) -> tuple[float, ...]:
    """As the sampler sees them: durations as numbers of their unit."""
    values = range_.values() or range_.ends()
    return float(values[0]), float(values[-1])


def figure(info: SlicesInfo) -> go.Figure:
    """One row per parameter, one column per objective."""
    scales = {objective: _scale(info, objective) for objective in info.objectives}
    titles = [
        [f"{OBJECTIVE_NAMES[o].rsplit(' ')[-1]} ({scales[o][1]})\nby {name}" for o in info.objectives]
        for name in info.params
    ]
    longest = max((len(o) for options in info.params.values() for o in options), default=0)
    slanted = min(60, 3 * longest)  # px that the longest option takes when a phone slants it
    fig = panels(titles, [190] * len(titles), column_gap=0.14, gap=GAP + slanted)
    for column, objective in enumerate(info.objectives, 1):
        for row, (name, options) in enumerate(info.params.items(), 1):
            for on_front in (False, True):
                _add(fig, info, objective, name, scales[objective][0], on_front, row, column)
            fig.update_xaxes(_axis(info, name, options), row=row, col=column)
    return fig


def _axis(info: SlicesInfo, name: str, options: tuple[str, ...]) -> dict[str, Any]:
    """The whole range that was searched, with a little room."""
    if options:
        order = [theme.text(o) for o in options]
        return {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": order,
            "range": [-0.5, len(order) - 0.5],
        }
    low, high = info.ends[name]
    if name in info.logarithmic:
        low, high = math.log10(low), math.log10(high)
    room = 0.05 * (high - low) or 0.5
    return {"type": "log" if name in info.logarithmic else "linear", "range": [low - room, high + room]}


def _scale(info: SlicesInfo, objective: str) -> tuple[float, str]:
    if objective == "val_error":
        return 0.01, "%"
    return cost_unit(max((p.train_gflops or 0 for p in info.trials), default=0))


def _add(
    fig: go.Figure,
    info: SlicesInfo,
    objective: str,
    name: str,
    scale: float,
    on_front: bool,
    row: int,
    column: int,
) -> None:
    points = [
        p
        for p in info.trials
        if p.on_front is on_front and name in p.params and getattr(p, objective) is not None
    ]
    options = info.params[name]
    fig.add_scatter(
        x=[theme.text(value_text(p.params[name])) if options else p.params[name] for p in points],
        y=[getattr(p, objective) / scale for p in points],
        mode="markers",
        name="on the front" if on_front else "dominated",
        legendgroup=str(on_front),
        showlegend=row == column == 1,
        marker=(
            {"symbol": "circle", "size": 9, "color": theme.BLUE}
            if on_front
            else {"symbol": "circle-open", "size": 8, "color": theme.SKY, "line": {"width": 2}}
        ),
        hovertext=[p.hover for p in points],
        hoverinfo="text",
        row=row,
        col=column,
    )


def words(info: SlicesInfo) -> Words:
    return Words(
        missing=None if info.trials else "No trial of the search is complete, so there is nothing to slice.",
        reading=(
            "Each point is a complete trial; lower is better. The other parameters vary too, and the "
            "sampler tries good regions more often: a slope here is a hint, not an effect."
        ),
        table=_table(info) if info.trials else None,
        picture=f"Objectives over each of {count(len(info.params), 'parameter')}",
    )


def _table(info: SlicesInfo) -> Table:
    ordered = sorted(info.trials, key=lambda p: (p.val_error is None, p.val_error, p.number))
    return Table(
        caption="The ten complete trials with the lowest error; all are in trials.csv",
        header=("trial", *info.params, "validation error"),
        rows=tuple(
            (
                str(p.number),
                *(value_text(p.params.get(name, "")) for name in info.params),
                percent(p.val_error) if p.val_error is not None else "",
            )
            for p in ordered[:10]
        ),
    )
