"""Each objective over each searched parameter, with its trend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import GAP, panels
from dashboards.points import TrialPoint, drawn, said_of, scale_of, trial_points
from dashboards.units import count, percent, value_text
from reprtune.analysis.trends import MIN_CURVE, MIN_LEVEL, Trend, trends
from reprtune.record.labels import NUMBER, SLOT
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.space import Choice, FloatRange, Range

TITLE = "Parameter by parameter"
ABOUT = "search"
MAX_DRAWN = 600  # of complete trials, and of stopped ones
TREND = "trend of the complete"


@dataclass(frozen=True, kw_only=True)
class SlicesInfo:
    """What each panel shows.

    Attributes:
        trials: complete ones; stopped: those stopped early, where they stood; both at most about `MAX_DRAWN`
            of the `n_trials` and `n_stopped` there are.
        trends: of all complete trials.
        params: name -> its options as texts when it has no order, else an empty list.
        ends: name -> lowest and highest value of a parameter with an order.
        logarithmic: parameters on a logarithmic range.
    """

    objectives: tuple[str, ...]
    params: Mapping[str, tuple[str, ...]]
    ends: Mapping[str, tuple[float, ...]]
    logarithmic: tuple[str, ...]
    trials: tuple[TrialPoint, ...]
    stopped: tuple[TrialPoint, ...]
    n_trials: int
    n_stopped: int
    trends: tuple[Trend, ...]


def info(record: StudyRecord) -> SlicesInfo:
    ranges = record.spec.params
    points = trial_points(record, joined(record.trials))
    complete, stopped = ([p for p in points if p.outcome == o] for o in ("complete", "stopped"))
    return SlicesInfo(
        objectives=record.spec.objectives,
        params={
            name: tuple(value_text(o) for o in r.options) if isinstance(r, Choice) else ()
            for name, r in ranges.items()
        },
        ends={name: _ends(r) for name, r in ranges.items() if not isinstance(r, Choice)},
        logarithmic=tuple(name for name, r in ranges.items() if isinstance(r, FloatRange) and r.log),
        trials=drawn(complete, MAX_DRAWN),
        stopped=drawn(stopped, MAX_DRAWN),
        n_trials=len(complete),
        n_stopped=len(stopped),
        trends=trends(record),
    )


def _ends(range_: Range) -> tuple[float, ...]:
    """As the sampler sees them: durations as numbers of their unit."""
    values = range_.values() or range_.ends()
    return float(values[0]), float(values[-1])


def figure(info: SlicesInfo) -> go.Figure:
    """One row per parameter, one column per objective."""
    scales = {objective: scale_of(info.trials, objective) for objective in info.objectives}
    titles = [
        [f"{OBJECTIVES[o].short} ({scales[o][1]})\nby {name}" for o in info.objectives]
        for name in info.params
    ]
    longest = max((len(o) for options in info.params.values() for o in options), default=0)
    slanted = min(60, 3 * longest)  # px that the longest option takes when a phone slants it
    fig = panels(titles, [190] * len(titles), column_gap=0.14, gap=GAP + slanted)
    for column, objective in enumerate(info.objectives, 1):
        # An interval of three trials reaches past what an error or a cost can be, and would squeeze the rest.
        possible = {"clipmin": 0, **({"clipmax": 100} if OBJECTIVES[objective].is_fraction else {})}
        fig.update_yaxes(autorangeoptions=possible, col=column)
        for row, (name, options) in enumerate(info.params.items(), 1):
            for kind in LOOKS:
                _add(fig, info, objective, name, scales[objective][0], kind, row, column)
            trend = next(t for t in info.trends if (t.objective, t.param) == (objective, name))
            _add_trend(fig, trend, options, scales[objective][0], row, column)
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


LOOKS: dict[str, dict[str, Any]] = {
    "stopped early": {"symbol": "triangle-down-open", "size": 7, "color": theme.ORANGE},
    "dominated": {"symbol": "circle-open", "size": 8, "color": theme.SKY, "line": {"width": 2}},
    "on the front": {"symbol": "circle", "size": 9, "color": theme.BLUE},
}


def _kind(point: TrialPoint) -> str:
    return (
        "stopped early" if point.outcome == "stopped" else "on the front" if point.on_front else "dominated"
    )


def _add(
    fig: go.Figure,
    info: SlicesInfo,
    objective: str,
    name: str,
    scale: float,
    kind: str,
    row: int,
    column: int,
) -> None:
    points = [
        p
        for p in (*info.stopped, *info.trials)
        if _kind(p) == kind and name in p.params and objective in p.values
    ]
    options = info.params[name]
    fig.add_scatter(
        x=[theme.text(value_text(p.params[name])) if options else p.params[name] for p in points],
        y=[p.values[objective] / scale for p in points],
        mode="markers",
        name=kind,
        legendgroup=kind,
        showlegend=row == column == 1,
        marker=LOOKS[kind],
        customdata=[p.label for p in points],
        hovertext=[p.hover for p in points],
        hoverinfo="text",
        row=row,
        col=column,
    )


def _add_trend(
    fig: go.Figure, trend: Trend, options: tuple[str, ...], scale: float, row: int, column: int
) -> None:
    """A curve with its band, or the mean and interval of every level."""
    if trend.curve:
        xs = [c.x for c in trend.curve]
        band = [c.low / scale for c in trend.curve], [c.high / scale for c in trend.curve]
        fig.add_scatter(
            x=[*xs, *reversed(xs)], y=[*band[0], *reversed(band[1])], mode="lines", line={"width": 0},
            fill="toself", fillcolor=theme.FAINT, hoverinfo="skip", showlegend=False, legendgroup=TREND,
            row=row, col=column,
        )  # fmt: skip
        fig.add_scatter(
            x=xs, y=[c.y / scale for c in trend.curve], mode="lines", line={"color": theme.GREEN, "width": 2.5},
            name=TREND, legendgroup=TREND, showlegend=False, hoverinfo="skip", row=row, col=column,
        )  # fmt: skip
    known = [level for level in trend.levels if level.low is not None and level.high is not None]
    if known:
        fig.add_scatter(
            x=[theme.text(value_text(v.value)) if options else v.value for v in known],
            y=[v.mean / scale for v in known],
            error_y={"type": "data", "array": [((v.high or 0) - v.mean) / scale for v in known],
                     "color": theme.GREEN, "thickness": 2, "width": 6},
            mode="markers", marker={"symbol": "line-ew-open", "size": 16, "color": theme.GREEN, "line": {"width": 3}},
            name=TREND, legendgroup=TREND, showlegend=False,
            hovertext=[f"mean of {v.n}: {v.mean / scale:.4g}" for v in known], hoverinfo="text",
            row=row, col=column,
        )  # fmt: skip


def words(info: SlicesInfo) -> Words:
    reasons = list(dict.fromkeys(t.reason for t in info.trends if t.reason))
    said = [said_of(len(info.trials), info.n_trials, "complete trials")]
    said.append(said_of(len(info.stopped), info.n_stopped, "stopped trials"))
    return Words(
        lead=tuple(s for s in (*said, *reasons) if s) if info.trials else (),
        missing=None if info.trials else "No trial of the search is complete, so there is nothing to slice.",
        reading=(
            "Circles are complete trials, triangles trials stopped early, where they stood; lower is better. "
            f"Green, of complete trials only: a smooth mean with its 95 % band from {MIN_CURVE} trials on, or "
            f"the mean and 95 % interval of every value with {MIN_LEVEL} trials or more. The other parameters "
            "vary too, and the sampler tries good regions more often: a slope here may be another parameter's. "
            "Directions with the others taken out are on the page Importance."
        ),
        table=_table(info) if info.trials else None,
        picture=f"Objectives over each of {count(len(info.params), 'parameter')}",
    )


def _table(info: SlicesInfo) -> Table:
    ordered = sorted(info.trials, key=lambda p: (p.error is None, p.error, p.number))
    return Table(
        caption="The ten complete trials with the lowest error; all are in trials.csv",
        header=(SLOT, NUMBER, *info.params, "validation error"),
        rows=tuple(
            (
                str(p.slot),
                str(p.number),
                *(value_text(p.params.get(name, "")) for name in info.params),
                percent(p.error) if p.error is not None else "",
            )
            for p in ordered[:10]
        ),
    )
