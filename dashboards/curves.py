"""Learning curves, with the phases of one trial shaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.units import count, percent
from reprtune.analysis.attempts import sub_phases
from reprtune.analysis.front import front
from reprtune.analysis.stopping_account import spread
from reprtune.history import History
from reprtune.record.labels import trial_label
from reprtune.record.ranking import best
from reprtune.record.repeats import joined
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE

TITLE = "Learning curves"
ABOUT = "study"
MAX_LINES = 5
MAX_CURVES = 250  # of those that do not stand out
DASHES = ("solid", "dash", "dot", "dashdot")
LOG_FROM = 5  # from this ratio of the largest to the smallest error


@dataclass(frozen=True, kw_only=True)
class Span:
    """A phase without the dropped filters, in epochs."""

    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Validation error (a fraction) at the end of each segment; None where it was not finite.

    Attributes:
        role: `best`, `front`, `standard` or empty: what makes it stand out.
        n_cycles: drops so far. total_epochs: planned length.
        exchanges: between several networks, or within one, in epochs. renewals: where a new generation begins.
        members: on the page of one trial, name -> error at each
            point of every network, and of their ensemble.
    """

    label: str
    outcome: str
    role: str
    epochs: tuple[float, ...]
    errors: tuple[float | None, ...]
    sub: tuple[Span, ...]
    n_cycles: int
    total_epochs: float
    exchanges: tuple[float, ...] = ()
    renewals: tuple[float, ...] = ()
    members: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CurvesInfo:
    """Those that stand out first; at most about `MAX_CURVES` of the `n` there are."""

    curves: tuple[Curve, ...]
    n: int


def info(record: StudyRecord) -> CurvesInfo:
    settings = joined(record.trials)
    lead, on_front = best(record), {t.number for t in front(settings, record.spec.compared)}
    trials = [t for t in (*settings, *record.controls) if not t.repaired]
    roles = {id(t): _role(t, lead, on_front) for t in trials}
    everything = [t for t in trials if any(_begun(run) for run in t.runs)]
    found = [c for t in _chosen(everything, roles) for c in _of(t, roles[id(t)])]
    first = ("best", "front", "standard", "")
    last = {id(c): next((e for e in reversed(c.errors) if e is not None), 1.0) for c in found}
    found.sort(key=lambda c: (first.index(c.role), last[id(c)] if c.role else 0.0))
    return CurvesInfo(curves=tuple(found), n=sum(_begun(run) for t in everything for run in t.runs))


def _begun(run: SeedRun) -> bool:
    return run.history is not None and bool(run.history.points)


def _chosen(trials: list[TrialRecord], roles: Mapping[int, str]) -> list[TrialRecord]:
    """All that stand out and all arms, and of the others some, evenly over the search."""
    first = [t for t in trials if roles[id(t)] or not t.is_drawn]
    return [*first, *spread([t for t in trials if not roles[id(t)] and t.is_drawn], MAX_CURVES)]


def _of(trial: TrialRecord, role: str) -> list[Curve]:
    """A curve for each seed it has begun."""
    name = trial_label(trial)
    found = []
    for run in trial.runs:
        if run.history is not None and run.history.points:
            label = f"{name}, seed {run.seed}" if len(trial.runs) > 1 else name
            outcome = trial.outcome if run.seed == trial.seed else "complete"
            found.append(curve(run.history, label, outcome, role))
    return found


def _role(trial: TrialRecord, lead: TrialRecord | None, on_front: set[int]) -> str:
    if not trial.is_drawn:
        return "standard" if trial.arm == BASELINE else ""
    if lead is not None and trial.number == lead.number:
        return "best"
    return "front" if trial.number in on_front else ""


def curve(history: History, label: str, outcome: str, role: str = "") -> Curve:
    """One trial's history as a curve over epochs."""
    per = history.steps_per_epoch
    return Curve(
        label=label,
        outcome=outcome,
        role=role,
        epochs=tuple(p.step / per for p in history.points),
        errors=tuple(p.val_error if math.isfinite(p.val_error) else None for p in history.points),
        sub=tuple(Span(start=a / per, end=b / per) for a, b in sub_phases(history)),
        n_cycles=len(history.drops_of()),
        total_epochs=history.total_steps / per,
        exchanges=tuple(e.step / per for e in history.exchanges),
        renewals=tuple(sorted({h.step / per for h in history.happenings if h.kind == "renew"})),
    )


def curve_of_all(history: History, label: str, outcome: str) -> Curve:
    """The same, with the curves of several networks and of their ensemble."""
    found = curve(history, label, outcome)
    if history.n_members == 1:
        return found
    networks = {
        f"member {k}": tuple(errors) for k, errors in enumerate(zip(*history.member_errors, strict=True))
    }
    return replace(found, members={**networks, "ensemble": history.ensemble_errors})


def figure(info: CurvesInfo) -> go.Figure:
    """All in grey, those that stand out in colour, one chosen in front with its phases."""
    fig = theme.figure(500)
    several = len(info.curves) > 1
    lines = _lines(info) if several else []
    standard = next((c for c in info.curves if c.role == "standard"), None)
    others = [c for c in info.curves if several and c not in lines and c is not standard]
    if others:
        _add_others(fig, others)
    if standard:
        _add_line(fig, standard, theme.GREY, "dash")
    for i, c in enumerate(lines):
        _add_line(fig, c, theme.SERIES[i % len(theme.SERIES)], "solid")
    if info.curves:
        chosen = info.curves[0]
        _add_members(fig, chosen)
        fig.add_scatter(
            **_xy(chosen), name=_chosen_name(chosen), mode="lines+markers",
            line={"color": theme.VERMILLION, "width": 3}, marker={"size": 5},
            hovertemplate="epoch %{x:.4g}: %{y:.2f} %<extra>chosen</extra>",
        )  # fmt: skip
        fig.update_layout(shapes=_shades(chosen), meta={"choices": _choices(info, len(fig.data) - 1)})
    fig.update_xaxes(title_text="epoch", rangemode="tozero")
    fig.update_yaxes(_error_axis(info))
    return fig


def _lines(info: CurvesInfo) -> list[Curve]:
    """The best and the front, at most `MAX_LINES`; of curves that lie on each other, the first."""
    unique: dict[tuple[float | None, ...], Curve] = {}
    for c in info.curves:
        if c.role in ("best", "front"):
            unique.setdefault(c.errors, c)
    return list(unique.values())[:MAX_LINES]


def _error_axis(info: CurvesInfo) -> dict[str, Any]:
    """Logarithmic, so that the last epochs can be told apart; linear where an error is 0 or all are alike."""
    errors = [e for c in info.curves for e in c.errors if e is not None]
    if not errors or max(errors) < LOG_FROM * min(errors) or min(errors) == 0:
        return {"title_text": "validation error, %"}
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    return {
        "title_text": "validation error, %, log scale", "type": "log",
        "tickvals": ticks, "ticktext": [f"{t:g}" for t in ticks],
    }  # fmt: skip


def _xy(c: Curve) -> dict[str, list[float | None]]:
    return {"x": list(c.epochs), "y": [None if e is None else round(100 * e, 4) for e in c.errors]}


def _add_others(fig: go.Figure, curves: list[Curve]) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    names: list[str] = []
    for c in curves:
        xy = _xy(c)
        x += [*xy["x"], None]
        y += [*xy["y"], None]
        names += [theme.text(f"{c.label} ({c.outcome})")] * (len(c.epochs) + 1)
    fig.add_scatter(
        x=x, y=y, text=names, mode="lines", name=count(len(curves), "other"), opacity=0.6,
        line={"color": theme.GREY, "width": 1}, connectgaps=False,
        hovertemplate="epoch %{x:.4g}: %{y:.2f} %<extra>%{text}</extra>",
    )  # fmt: skip


def _add_line(fig: go.Figure, c: Curve, colour: str, dash: str) -> None:
    names = {"best": f"{c.label} (best)", "front": f"{c.label} (front)"}
    fig.add_scatter(
        **_xy(c), mode="lines", name=theme.text(names.get(c.role, c.label)),
        line={"color": colour, "width": 2, "dash": dash},
        hovertemplate="epoch %{x:.4g}: %{y:.2f} %<extra>" + theme.text(c.label) + "</extra>",
    )  # fmt: skip


def _add_members(fig: go.Figure, c: Curve) -> None:
    """Of several networks each, thin, and their ensemble."""
    for i, (name, errors) in enumerate(c.members.items()):
        colour = theme.BLUE if name == "ensemble" else theme.GREY
        fig.add_scatter(
            x=list(c.epochs), y=[round(100 * e, 4) for e in errors], name=name, mode="lines",
            line={"color": colour, "width": 2 if name == "ensemble" else 1, "dash": DASHES[i % len(DASHES)]},
            hovertemplate=f"epoch %{{x:.4g}}: %{{y:.2f}} %<extra>{name}</extra>",
        )  # fmt: skip


def _chosen_name(c: Curve) -> str:
    return theme.text(f"chosen: {c.label}")


def _shades(c: Curve) -> list[dict[str, Any]]:
    """Phases without the dropped filters; exchanges as ticks above the axis, new generations as lines."""
    marks = [(x, 0.03, "solid") for x in c.exchanges] + [(x, 1.0, "dot") for x in c.renewals]
    ticks = [
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": top,
            "line": {"width": 1, "color": theme.GREY, "dash": dash}, "layer": "below",
        }
        for x, top, dash in marks
    ]  # fmt: skip
    return ticks + [
        {
            "type": "rect", "xref": "x", "yref": "paper", "x0": s.start, "x1": s.end, "y0": 0, "y1": 1,
            "fillcolor": theme.SKY, "opacity": 0.2, "line": {"width": 0}, "layer": "below",
        }
        for s in c.sub
    ]  # fmt: skip


def _choices(info: CurvesInfo, trace: int) -> list[dict[str, Any]]:
    """What a page's menu changes in the figure; the first is what the figure shows."""
    return [
        {
            "label": f"{c.label} ({c.role or c.outcome})",
            "trace": trace,
            "data": {**{k: [v] for k, v in _xy(c).items()}, "name": _chosen_name(c)},
            "layout": {"shapes": _shades(c)},
        }
        for c in info.curves
    ]


def words(info: CurvesInfo) -> Words:
    several = len(info.curves) > 1
    who = "the chosen trial trains" if several else "training"
    reading = f"Shaded: {who} without the dropped filters. The error jumps where filters come back."
    if any(c.exchanges for c in info.curves):
        reading += " A tick above the axis: the networks of a trial exchange; the error is what they have afterwards."
    if any(c.renewals for c in info.curves):
        reading += " A dotted line: a new generation begins."
    if any(c.members for c in info.curves):
        reading += " The thick line is the mean over the members."
    if several:
        coloured = any(c.role in ("best", "front") for c in info.curves)
        reading += f" At most {MAX_LINES} trials of the front are coloured; the" if coloured else " The"
        reading += " menu shows any."
    if info.n > len(info.curves):
        reading += (
            f" Drawn are {len(info.curves):,} of {info.n:,} curves: the best, the front, the arms, and "
            "others evenly over the search."
        )
    return Words(
        missing=None if info.curves else "No trial has been evaluated yet.",
        reading=reading,
        table=_table(info) if info.curves else None,
        picture=f"Validation error over epochs for {count(len(info.curves), 'trial')}",
    )


def _table(info: CurvesInfo) -> Table:
    rows = []
    for c in info.curves:
        known = [e for e in c.errors if e is not None]
        lowest, last = (percent(min(known)), percent(known[-1])) if known else ("", "")
        epochs = f"{c.epochs[-1]:g} of {c.total_epochs:g}"
        rows.append((c.label, c.outcome, c.role, epochs, str(c.n_cycles), lowest, last))
    return Table(
        caption="Curves in numbers",
        header=("slot", "outcome", "role", "epochs", "drops", "lowest error", "last error"),
        rows=tuple(rows),
    )
