"""Accuracy against training cost: the front, the dominated, the stopped and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.points import TrialPoint, drawn, said_of, trial_points
from dashboards.units import cost, cost_unit, count, percent, settings
from reprtune.analysis.front import Hypervolume, hypervolume, knee
from reprtune.record.schema import StudyRecord

TITLE = "Accuracy against training cost"
MAX_DRAWN = 2000  # of complete trials, and of stopped ones


@dataclass(frozen=True, kw_only=True)
class ParetoInfo:
    """Points with both measures.

    Attributes:
        front: lowest error first. dominated, stopped: at most about `MAX_DRAWN` of the `n_dominated` and
            `n_stopped` there are.
        searched_both: both were objectives. knee: slot of the trial at the front's knee.
    """

    front: tuple[TrialPoint, ...]
    dominated: tuple[TrialPoint, ...]
    stopped: tuple[TrialPoint, ...]
    controls: tuple[TrialPoint, ...]
    arms: tuple[str, ...]
    searched_both: bool
    n_dominated: int
    n_stopped: int
    hypervolume: Hypervolume | None
    knee: int | None


def info(record: StudyRecord) -> ParetoInfo:
    points = [p for p in trial_points(record, record.trials) if _drawable(p)]
    controls = [p for p in trial_points(record, record.controls) if _drawable(p)]
    complete = [p for p in points if p.outcome == "complete"]
    dominated = [p for p in complete if not p.on_front]
    stopped = [p for p in points if p.outcome == "stopped"]
    bend = knee(record.trials)
    return ParetoInfo(
        front=tuple(sorted((p for p in complete if p.on_front), key=lambda p: (p.val_error, p.number))),
        dominated=drawn(dominated, MAX_DRAWN),
        stopped=drawn(stopped, MAX_DRAWN),
        controls=tuple(p for p in controls if p.outcome == "complete"),
        arms=tuple(arm.name for arm in record.spec.controls),
        searched_both=set(record.spec.objectives) == {"val_error", "train_gflops"},
        n_dominated=len(dominated),
        n_stopped=len(stopped),
        hypervolume=hypervolume(record.trials),
        knee=bend.slot if bend else None,
    )


def _drawable(point: TrialPoint) -> bool:
    return point.val_error is not None and point.train_gflops is not None


def figure(info: ParetoInfo) -> go.Figure:
    everything = (*info.front, *info.dominated, *info.stopped, *info.controls)
    size, unit = cost_unit(max((p.train_gflops or 0 for p in everything), default=0))
    fig = theme.figure(520)
    stopped = {"symbol": "triangle-down-open", "size": 9, "color": theme.ORANGE, "line": {"width": 2}}
    dominated = {"symbol": "circle-open", "size": 9, "color": theme.SKY, "line": {"width": 2}}
    _add(fig, info.stopped, size, "stopped early", stopped)
    _add(fig, info.dominated, size, "complete, dominated", dominated)
    for i, arm in enumerate(info.arms):
        colour, symbol = theme.arm_look(i)
        marker = {"symbol": symbol, "size": 12, "color": colour, "line": {"width": 1, "color": "#555"}}
        _add(fig, [p for p in info.controls if p.arm == arm], size, f"control: {theme.text(arm)}", marker)
    front = {"symbol": "circle", "size": 11, "color": theme.BLUE}
    _add(fig, info.front, size, "front", front, line={"color": theme.BLUE, "shape": "hv", "width": 1.5})
    fig.update_xaxes(title_text=f"training cost, {unit}")
    fig.update_yaxes(title_text="validation accuracy, %")
    return fig


def _add(
    fig: go.Figure,
    points: Sequence[TrialPoint],
    size: float,
    name: str,
    marker: dict[str, Any],
    line: dict[str, Any] | None = None,
) -> None:
    if not points:
        return
    points = sorted(points, key=lambda p: (p.train_gflops or 0, -(p.val_error or 0)))
    fig.add_scatter(
        x=[(p.train_gflops or 0) / size for p in points],
        y=[100 * (1 - (p.val_error or 0)) for p in points],
        name=name,
        mode="lines+markers" if line else "markers",
        marker=marker,
        line=line,
        error_x=_bars([p.gflops_sd for p in points], 1 / size),
        error_y=_bars([p.error_sd for p in points], 100),
        customdata=[p.label for p in points],
        hovertext=[p.hover for p in points],
        hoverinfo="text",
        legendrank=1 if line else 1000,  # the front is drawn last and named first
    )


def _bars(spreads: Sequence[float | None], scale: float) -> dict[str, Any] | None:
    """One standard deviation over seeds, where trials have several."""
    if not any(spreads):
        return None
    return {"type": "data", "array": [scale * (s or 0) for s in spreads], "thickness": 1, "width": 3}


def words(info: ParetoInfo) -> Words:
    missing = None
    if not (info.front or info.stopped or info.controls):
        missing = "No trial has been trained long enough to have an accuracy and a cost."
    lead = []
    if not info.searched_both:
        lead.append("The search minimised only one of the two: this front was looked at, not searched for.")
    if missing is None and not info.front:
        lead.append("No trial of the search is complete, so there is no front yet.")
    if missing is None and not info.controls:
        lead.append("No control is complete yet.")
    lead.append(said_of(len(info.dominated), info.n_dominated, "dominated trials"))
    lead.append(said_of(len(info.stopped), info.n_stopped, "stopped trials"))
    return Words(
        lead=tuple(text for text in lead if text),
        facts=_facts(info),
        missing=missing,
        reading=(
            "Up and left is better. No complete trial beats one on the front in both; controls take no "
            "part in it, and stopped trials (open triangles) are shown where they stood when they were "
            "stopped. The cost counts dropped filters as absent. Where trials have several seeds, points are "
            "means and bars one standard deviation over seeds."
        ),
        table=_table(info) if info.front else None,
        picture=f"Scatter of accuracy against training cost, {count(len(info.front), 'trial')} on the front",
    )


def _facts(info: ParetoInfo) -> tuple[tuple[str, str], ...]:
    facts = []
    if (h := info.hypervolume) is not None:
        text = (
            f"{h.share:.3f} of the box from the lowest error and cost ({percent(h.ideal_error)}, "
            f"{cost(h.ideal_gflops)}) to the reference, the highest ({percent(h.reference_error)}, "
            f"{cost(h.reference_gflops)}), over complete trials"
        )
        facts.append(("Hypervolume", text))
    if info.knee is not None:
        facts.append(("Knee", f"slot {info.knee}: farthest below the line between the front's two ends"))
    return tuple(facts)


def _table(info: ParetoInfo) -> Table:
    """The front; the first cell is the slot of the trial, which leads to its run where there is one."""
    spread = any(p.error_sd is not None for p in info.front)
    rows = [
        (
            str(p.slot), percent(1 - (p.val_error or 0)),
            *(("" if p.error_sd is None else f"{100 * p.error_sd:.2f}", str(p.n_seeds)) if spread else ()),
            cost(p.train_gflops or 0), "knee" if p.slot == info.knee else "", settings(p.params),
        )
        for p in info.front
    ]  # fmt: skip
    return Table(
        caption="Trials on the front, most accurate first",
        header=(
            "slot", "accuracy", *(("sd over seeds, points", "seeds") if spread else ()), "training cost", "place",
            "settings",
        ),
        rows=tuple(rows),
    )  # fmt: skip
