"""Accuracy against what else trials are compared by: the front, the dominated, the stopped, the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.plain_curve import READING_OF_CURVE, add_curve, beside
from dashboards.points import TrialPoint, drawn, said_of, scale_of, trial_points
from dashboards.units import count, listed, percent, settings, value
from reprtune.analysis.front import Hypervolume, hypervolume, knee
from reprtune.analysis.plain_curve import FrontBesideCurve, PlainCurve, front_beside_curve, plain_curve
from reprtune.record.labels import NUMBER, SLOT, slot_label
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import COST, ERROR, OBJECTIVES

TITLE = f"Accuracy against {OBJECTIVES[COST].title}"
ABOUT = "search"
MAX_DRAWN = 2000  # of complete trials, and of stopped ones
ROW_HEIGHT = 400  # px, of several panels


@dataclass(frozen=True, kw_only=True)
class ParetoInfo:
    """Points with all measures.

    Attributes:
        measures: what trials are compared by, the error first.
        front: lowest error first. dominated, stopped: at most about `MAX_DRAWN` of the `n_dominated` and
            `n_stopped` there are.
        curve: plain training of other lengths, drawn over the cost in place of the points of its arms, the `lengths`; beside:
            the front held against it. None without other lengths.
        searched: all measures were objectives. knee: slot of the trial at the front's knee.
    """

    measures: tuple[str, ...]
    front: tuple[TrialPoint, ...]
    dominated: tuple[TrialPoint, ...]
    stopped: tuple[TrialPoint, ...]
    controls: tuple[TrialPoint, ...]
    arms: tuple[str, ...]
    searched: bool
    n_dominated: int
    n_stopped: int
    hypervolume: Hypervolume | None
    knee: int | None
    curve: PlainCurve | None = None
    lengths: tuple[str, ...] = ()
    beside: FrontBesideCurve | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """All but the error."""
        return self.measures[1:]


def info(record: StudyRecord) -> ParetoInfo:
    measures, searched = record.spec.compared, joined(record.trials)
    points, controls = (
        [p for p in trial_points(record, trials) if len(p.values) == len(measures)]
        for trials in (searched, record.controls)
    )
    complete = [p for p in points if p.outcome == "complete"]
    dominated = [p for p in complete if not p.on_front]
    stopped = [p for p in points if p.outcome == "stopped"]
    bend = knee(searched, measures)
    curve = plain_curve(record) if COST in measures else None
    return ParetoInfo(
        measures=measures,
        front=tuple(sorted((p for p in complete if p.on_front), key=lambda p: (p.error, p.number))),
        dominated=drawn(dominated, MAX_DRAWN),
        stopped=drawn(stopped, MAX_DRAWN),
        controls=tuple(p for p in controls if p.outcome == "complete"),
        arms=tuple(arm.name for arm in record.spec.arms),
        searched=set(record.spec.objectives) == set(measures),
        n_dominated=len(dominated),
        n_stopped=len(stopped),
        hypervolume=hypervolume(searched, measures),
        knee=bend.slot if bend else None,
        curve=curve,
        lengths=tuple(record.spec.lengths) if curve else (),
        beside=front_beside_curve(record),
    )


def figure(info: ParetoInfo) -> go.Figure:
    """A panel for each measure beside the error."""
    everything = (*info.front, *info.dominated, *info.stopped, *info.controls)
    several = len(info.others) > 1
    titles = [""] * len(info.others)
    fig = panels([[t] for t in titles], [ROW_HEIGHT] * len(titles)) if several else theme.figure(520)
    for row, name in enumerate(info.others, 1):
        panel: dict[str, int] = {"row": row, "col": 1} if several else {}
        size, unit = scale_of(everything, name)
        _draw(fig, info, name, size, panel)
        fig.update_xaxes(title_text=f"{OBJECTIVES[name].title}, {unit}", **panel)
    fig.update_yaxes(title_text="validation accuracy, %")
    return fig


def _draw(fig: go.Figure, info: ParetoInfo, name: str, size: float, panel: Mapping[str, int]) -> None:
    stopped = {"symbol": "triangle-down-open", "size": 9, "color": theme.ORANGE, "line": {"width": 2}}
    dominated = {"symbol": "circle-open", "size": 9, "color": theme.SKY, "line": {"width": 2}}
    draw = _Panel(fig, name, size, panel)
    draw.add(info.stopped, "stopped early", stopped)
    draw.add(info.dominated, "complete, dominated", dominated)
    if info.curve is not None and name == COST:
        add_curve(fig, info.curve, size, panel)
    for i, arm in enumerate(info.arms):
        if arm in info.lengths and arm != BASELINE:
            continue  # its mean is a point of the curve
        colour, symbol = theme.arm_look(i)
        marker = {"symbol": symbol, "size": 12, "color": colour, "line": {"width": 1, "color": "#555"}}
        draw.add([p for p in info.controls if p.arm == arm], f"control: {theme.text(arm)}", marker)
    front = {"symbol": "circle", "size": 11, "color": theme.BLUE}
    step = {"color": theme.BLUE, "shape": "hv", "width": 1.5 if len(info.others) == 1 else 0}
    draw.add(info.front, "front", front, line=step)


@dataclass(frozen=True)
class _Panel:
    """Accuracy against one measure, `size` stored ones to a unit of its axis."""

    fig: go.Figure
    name: str
    size: float
    place: Mapping[str, int]

    def add(
        self,
        points: Sequence[TrialPoint],
        name: str,
        marker: Mapping[str, Any],
        line: Mapping[str, Any] | None = None,
    ) -> None:
        if not points:
            return
        points = sorted(points, key=lambda p: (p.values[self.name], -p.values[ERROR]))
        self.fig.add_scatter(
            x=[p.values[self.name] / self.size for p in points],
            y=[100 * (1 - p.values[ERROR]) for p in points],
            name=name,
            mode="lines+markers" if line else "markers",
            marker=marker,
            line=line,
            error_x=_bars([p.sds.get(self.name) for p in points], 1 / self.size),
            error_y=_bars([p.sds.get(ERROR) for p in points], 100),
            customdata=[p.label for p in points],
            hovertext=[p.hover for p in points],
            hoverinfo="text",
            legendrank=1 if line else 1000,  # the front is drawn last and named first
            **self.legend(name),
        )

    def legend(self, name: str) -> dict[str, Any]:
        """Its place; of several panels the first one's marks stand in the legend."""
        return {**self.place, "legendgroup": name, "showlegend": self.place["row"] == 1} if self.place else {}


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
    if not info.searched:
        which = "one of the two" if len(info.measures) == 2 else "some of them"
        lead.append(f"The search minimised only {which}: this front was looked at, not searched for.")
    if missing is None and not info.front:
        lead.append("No trial of the search is complete, so there is no front yet.")
    if missing is None and info.arms and not info.controls:
        lead.append("No control is complete yet.")
    lead.append(beside(info.beside))
    lead.append(said_of(len(info.dominated), info.n_dominated, "dominated trials"))
    lead.append(said_of(len(info.stopped), info.n_stopped, "stopped trials"))
    both = "both" if len(info.measures) == 2 else "all measures"
    titles = [OBJECTIVES[name].title for name in info.others]
    return Words(
        title=f"Accuracy against {listed(titles)}",
        lead=tuple(text for text in lead if text),
        facts=_facts(info),
        missing=missing,
        reading=(
            f"Up and left is better. No complete trial beats one on the front in {both}; "
            f"{'controls take no part in it, and ' if info.arms else ''}stopped trials (open triangles) are shown where they stood when they were "
            f"stopped. The {titles[0].split()[-1]} counts dropped filters as absent. Where trials have several seeds, points are "
            f"means and bars one standard deviation over seeds.{READING_OF_CURVE if info.curve else ''}"
        ),
        table=_table(info) if info.front else None,
        picture=f"Scatter of accuracy against {listed(titles)}, {count(len(info.front), 'trial')} on the front",
    )


def _facts(info: ParetoInfo) -> tuple[tuple[str, str], ...]:
    facts = []
    if (h := info.hypervolume) is not None:
        shorts = listed([OBJECTIVES[name].short for name in info.measures])
        ideal, reference = (_said(info.measures, ends) for ends in (h.ideal, h.reference))
        text = (
            f"{h.share:.3f} of the box from the lowest {shorts} ({ideal}) to the reference, the highest "
            f"({reference}), over complete trials"
        )
        facts.append(("Hypervolume", text))
    if info.knee is not None:
        facts.append(
            ("Knee", f"{slot_label(info.knee)}: farthest below the line between the front's two ends")
        )
    return tuple(facts)


def _said(measures: Sequence[str], numbers: Sequence[float]) -> str:
    return ", ".join(value(name, number) for name, number in zip(measures, numbers, strict=True))


def _table(info: ParetoInfo) -> Table:
    """The front; the first cell is the slot of the trial, which leads to its run where there is one."""
    spread = any(ERROR in p.sds for p in info.front)
    rows = [
        (
            str(p.slot), str(p.number), percent(1 - p.values[ERROR]),
            *((f"{100 * p.sds[ERROR]:.2f}" if ERROR in p.sds else "", str(p.n_seeds)) if spread else ()),
            *(value(name, p.values[name]) for name in info.others),
            "knee" if p.slot == info.knee else "", settings(p.params),
        )
        for p in info.front
    ]  # fmt: skip
    return Table(
        caption="Trials on the front, most accurate first",
        header=(
            SLOT, NUMBER, "accuracy", *(("sd over seeds, points", "seeds") if spread else ()),
            *(OBJECTIVES[name].title for name in info.others), "place", "settings",
        ),
        rows=tuple(rows),
    )  # fmt: skip
