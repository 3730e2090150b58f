"""The course of the search: every slot in order, the best so far, and what became of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.points import TrialPoint, drawn, said_of, scale_of, trial_points
from dashboards.units import percent
from reprtune.analysis.attempts import deciding
from reprtune.record.labels import NUMBER, SLOT
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import OBJECTIVES

TITLE = "Course of the search"
MAX_DRAWN = 1500


@dataclass(frozen=True, kw_only=True)
class Lowest:
    """The lowest value among complete trials up to a slot."""

    slot: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    objective: str
    lowest: tuple[Lowest, ...]


@dataclass(frozen=True, kw_only=True)
class HistoryInfo:
    """`trials`: the attempt that decides each slot, begun ones only, in slot order. `drawn`: slots of those
    that the figure shows, at most about `MAX_DRAWN`."""

    trials: tuple[TrialPoint, ...]
    progress: tuple[Progress, ...]
    drawn: tuple[int, ...]


def info(record: StudyRecord) -> HistoryInfo:
    deciders = tuple(t for t in deciding(record.trials).values() if t.is_final or t.outcome == "running")
    points = trial_points(record, deciders)
    return HistoryInfo(
        trials=points,
        progress=tuple(Progress(objective=o, lowest=_lowest(points, o)) for o in record.spec.objectives),
        drawn=tuple(p.slot for p in drawn(points, MAX_DRAWN)),
    )


def _lowest(points: Sequence[TrialPoint], objective: str) -> tuple[Lowest, ...]:
    found: list[Lowest] = []
    for p in points:
        value = p.values.get(objective) if p.outcome == "complete" else None
        if value is not None:
            found.append(Lowest(slot=p.slot, value=min([value, *(f.value for f in found[-1:])])))
    return tuple(found)


def figure(info: HistoryInfo) -> go.Figure:
    """One panel per objective; those without a value stand in a row on top."""
    fig = panels([["slot"] for _ in info.progress], [270] * len(info.progress))
    shown: set[str] = set()
    slots = set(info.drawn)
    for row, progress in enumerate(info.progress, 1):
        objective = progress.objective
        scale, unit = scale_of(info.trials, objective)
        values = [v for p in info.trials if (v := _value(p, objective)) is not None]
        top = 1.08 * max(values, default=1.0) / scale
        if progress.lowest:
            fig.add_scatter(
                x=[p.slot for p in progress.lowest], y=[p.value / scale for p in progress.lowest],
                mode="lines", line={"shape": "hv", "color": theme.GREEN, "width": 2},
                name="lowest so far (complete)", legendgroup="lowest", showlegend=row == 1, hoverinfo="skip", row=row, col=1,
            )  # fmt: skip
        for outcome in Outcome:
            points = [p for p in info.trials if p.outcome == outcome and p.slot in slots]
            if points:
                _add(fig, points, objective, scale, top, row, outcome not in shown)
                shown.add(outcome)
        if not values:
            fig.update_yaxes(showticklabels=False, showgrid=False, row=row, col=1)
        fig.update_yaxes(title_text=f"{OBJECTIVES[objective].title}, {unit}", row=row, col=1)
    return fig


def _value(point: TrialPoint, objective: str) -> float | None:
    """Diverged and failed trials have no value worth drawing."""
    return point.values.get(objective) if Outcome(point.outcome).is_comparable else None


def _add(
    fig: go.Figure,
    points: Sequence[TrialPoint],
    objective: str,
    scale: float,
    top: float,
    row: int,
    legend: bool,
) -> None:
    outcome = Outcome(points[0].outcome)
    values = [_value(p, objective) for p in points]
    fig.add_scatter(
        x=[p.slot for p in points],
        y=[top if v is None else v / scale for v in values],
        mode="markers",
        name=outcome,
        legendgroup=outcome,
        showlegend=legend,
        marker={
            "symbol": outcome.symbol,
            "color": theme.COLOURS[outcome.colour],
            "size": 9,
            "line": {"width": 2 if "open" in outcome.symbol else 0},
        },
        hovertext=[p.hover for p in points],
        hoverinfo="text",
        row=row,
        col=1,
    )


def words(info: HistoryInfo) -> Words:
    return Words(
        missing=None if info.trials else "No trial has begun.",
        reading=(
            "Slots are in the order in which they were queued. Stopped (triangles) and running trials "
            "stand at their last evaluation, before their training's end; diverged and failed ones in the "
            "row on top. " + said_of(len(info.drawn), len(info.trials), "slots")
        ).strip(),
        table=_table(info) if info.trials else None,
        picture="Objectives of every slot in order, with the lowest so far",
    )


def _table(info: HistoryInfo) -> Table:
    return Table(
        caption="Slots in order; errors of trials that are not complete are those of their last evaluation",
        header=(SLOT, NUMBER, "outcome", "validation error"),
        rows=tuple(
            (str(p.slot), str(p.number), p.outcome, percent(p.error) if p.error is not None else "")
            for p in info.trials
        ),
    )
