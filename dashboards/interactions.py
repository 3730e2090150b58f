"""The objectives over pairs of the most important parameters, and whether a pair acts together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.points import TrialPoint, drawn, said_of, scale_of, trial_points
from dashboards.units import listed, value_text
from reprtune.analysis.importance import importances, leading
from reprtune.analysis.interactions import MAX_PARAMS, Interaction, interactions
from reprtune.analysis.level import ALPHA
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.space import Choice, FloatRange, Range

TITLE = "Pairs of parameters"
ABOUT = "search"
MAX_DRAWN = 200
MAX_CELLS = 5  # per side
MIN_TRIALS = 10
ROW_HEIGHT = 120  # px
BAR_ROOM = 180  # px between two matrices: names and ticks of the upper, colour bars of the lower


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One parameter. `options`: of a choice, else empty; its values then count 0, 1, ... `edges`: of cells."""

    param: str
    options: tuple[str, ...]
    edges: tuple[float, ...]
    logarithmic: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Mean of the objective in each cell, rows along `second`; None in a cell without a complete trial."""

    objective: str
    first: str
    second: str
    means: tuple[tuple[float | None, ...], ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class InteractionsInfo:
    """`trials`: complete ones, at most about `MAX_DRAWN` of `n_trials`; cells and measures are of all."""

    axes: Mapping[str, Axis]
    pairs: tuple[Pair, ...]
    measures: tuple[Interaction, ...]
    trials: tuple[TrialPoint, ...]
    n_trials: int


def info(record: StudyRecord) -> InteractionsInfo:
    names = leading(importances(record), MAX_PARAMS)
    axes = {name: _axis(name, record.spec.params[name]) for name in names}
    complete = [p for p in trial_points(record, joined(record.trials)) if p.outcome == "complete"]
    pairs = [
        _pair(axes, objective, a, b, complete)
        for a, b in itertools.combinations(names, 2)
        for objective in record.spec.objectives
    ]
    return InteractionsInfo(
        axes=axes,
        pairs=tuple(pairs),
        measures=interactions(record),
        trials=drawn(complete, MAX_DRAWN),
        n_trials=len(complete),
    )


def _axis(name: str, range_: Range) -> Axis:
    log = isinstance(range_, FloatRange) and range_.log
    if isinstance(range_, Choice):
        options = tuple(value_text(o) for o in range_.options)
        edges = [i - 0.5 for i in range(len(options) + 1)]
        return Axis(param=name, options=options, edges=tuple(edges), logarithmic=False)
    return Axis(param=name, options=(), edges=tuple(_edges(range_, log)), logarithmic=log)


def _edges(range_: Range, log: bool) -> list[float]:
    """Cells of equal width; a cell for each value where there are few."""
    values = [float(v) for v in range_.values() or range_.ends()]
    low, high = values[0], values[-1]
    if log:
        low, high = math.log10(low), math.log10(high)
    step = values[1] - low if len(values) > 1 and range_.values() is not None else 0.0
    low, high = low - step / 2, high + step / 2
    n = len(values) if step and len(values) <= MAX_CELLS + 1 else MAX_CELLS
    found = [low + i * (high - low) / n for i in range(n + 1)]
    return [10**e for e in found] if log else found


def position(axis: Axis, value: Any) -> float:
    """Where a value lies on its axis: itself, or the place of the option."""
    return float(axis.options.index(value_text(value))) if axis.options else float(value)


def _cell(axis: Axis, value: Any) -> int:
    at = position(axis, value)
    return max(0, min(sum(at >= edge for edge in axis.edges) - 1, len(axis.edges) - 2))


def _pair(
    axes: Mapping[str, Axis], objective: str, first: str, second: str, trials: Sequence[TrialPoint]
) -> Pair:
    a, b = axes[first], axes[second]
    inside: list[list[list[float]]] = [[[] for _ in a.edges[1:]] for _ in b.edges[1:]]
    for p in trials:
        value = p.values.get(objective)
        if value is not None and first in p.params and second in p.params:
            inside[_cell(b, p.params[second])][_cell(a, p.params[first])].append(value)
    return Pair(
        objective=objective,
        first=first,
        second=second,
        means=tuple(tuple(math.fsum(v) / len(v) if v else None for v in row) for row in inside),
        counts=tuple(tuple(len(v) for v in row) for row in inside),
    )


def figure(info: InteractionsInfo) -> go.Figure:
    """A matrix of parameters: one objective below its diagonal, the other above; cells and trials in one
    colour scale per objective. Of more than two, further matrices below, with room for their colour bars."""
    names, objectives = list(info.axes), list(dict.fromkeys(p.objective for p in info.pairs))
    tops = [i * (len(names) + 1) for i in range(max(1, (len(objectives) + 1) // 2))]
    fig = _matrices(info, names, tops)
    for pair in info.pairs:
        at = objectives.index(pair.objective)
        _draw(fig, info, _transposed(pair) if at % 2 else pair, names, at, tops[at // 2])
    for at, objective in enumerate(objectives):
        axis = next(fig.select_yaxes(row=tops[at // 2] + 1, col=1))
        n = min(2, len(objectives) - at // 2 * 2)
        fig.update_layout({f"coloraxis{at + 1}": _colours(info, objective, at % 2, n, axis.domain[1])})
    return fig


def _matrices(info: InteractionsInfo, names: Sequence[str], tops: Sequence[int]) -> go.Figure:
    """Empty matrices with the names on their diagonals, each beginning below one of the rows `tops`."""
    inner, heights = [""] * len(names), [ROW_HEIGHT] * len(names)
    matrix = [*[inner] * (len(names) - 1), [_broken(name) for name in names]]
    further = len(tops) - 1
    titles, heights = [*matrix, *[inner, *matrix] * further], [*heights, *[BAR_ROOM, *heights] * further]
    fig = panels(titles, heights, column_gap=0.012, gap=8)
    for i, name in enumerate(names, 1):
        fig.update_xaxes(_look(info.axes[name]), title_font_size=12, col=i)
        if info.axes[name].options:
            fig.update_xaxes(tickangle=90, col=i)  # else plotly leaves out what it has no room for
        for top in tops:
            fig.update_yaxes(_look(info.axes[name]), row=top + i)
            _name(fig, name, top + i, i)
    frame = {"showline": True, "mirror": True, "linecolor": theme.GREY, "showticklabels": False}
    fig.update_xaxes(frame)
    fig.update_yaxes(frame)
    for top in tops:
        fig.update_xaxes(showticklabels=True, row=top + len(names))
    fig.update_yaxes(showticklabels=True, col=1)
    return fig


def _name(fig: go.Figure, name: str, row: int, column: int) -> None:
    """Write the parameter into its panel of the diagonal, whose axes are only drawn with a trace."""
    fig.add_scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip", row=row, col=column)
    text = theme.text(_broken(name)).replace("\n", "<br>")
    fig.add_annotation(
        text=text, x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False, row=row, col=column,
        font_size=12,
    )  # fmt: skip


def _broken(name: str) -> str:
    """A name in lines that a narrow panel has room for."""
    return name.replace("_", "_\n")


def _transposed(pair: Pair) -> Pair:
    return Pair(
        objective=pair.objective,
        first=pair.second,
        second=pair.first,
        means=tuple(zip(*pair.means, strict=True)),
        counts=tuple(zip(*pair.counts, strict=True)),
    )


def _colours(info: InteractionsInfo, objective: str, i: int, n: int, top: float) -> dict[str, Any]:
    """From the lowest to the highest trial drawn, with a bar above the matrix, the `i`-th of `n` there."""
    size, unit = scale_of(info.trials, objective)
    values = [p.values[objective] / size for p in info.trials if objective in p.values]
    where, name = ("\u25e3", "\u25e5")[i], OBJECTIVES[objective].short  # corners
    return {
        "colorscale": "Cividis", "cmin": min(values, default=0), "cmax": max(values, default=1),
        "colorbar": {
            "orientation": "h", "thickness": 10, "len": 0.8 / n, "x": (i + 0.5) / n, "xanchor": "center",
            "y": top, "yanchor": "bottom", "yref": "paper", "nticks": 3, "tickangle": 0,
            "title": {"text": f"{where} {name}, {unit}", "side": "top", "font": {"size": 12}},
        },
    }  # fmt: skip


def _look(axis: Axis) -> dict[str, Any]:
    ends = (axis.edges[0], axis.edges[-1])
    if axis.logarithmic:
        return {"type": "log", "range": [math.log10(e) for e in ends], "showgrid": False, "nticks": 4}
    look: dict[str, Any] = {"type": "linear", "range": list(ends), "showgrid": False, "nticks": 5}
    if axis.options:
        look |= {
            "tickvals": list(range(len(axis.options))),
            "ticktext": [theme.text(o) for o in axis.options],
        }
    return look


def _draw(
    fig: go.Figure, info: InteractionsInfo, pair: Pair, names: Sequence[str], at: int, top: int
) -> None:
    """A pair, in the colours of the objective that is the `at`-th, into the matrix that begins below row `top`."""
    a, b = info.axes[pair.first], info.axes[pair.second]
    row, column = top + names.index(pair.second) + 1, names.index(pair.first) + 1
    scale, colours = scale_of(info.trials, pair.objective)[0], f"coloraxis{at + 1}"
    cells = [[None if m is None else m / scale for m in line] for line in pair.means]
    said = [
        [
            f"mean of {n}: {m:.4g}" if m is not None else "no complete trial"
            for m, n in zip(*line, strict=True)
        ]
        for line in zip(cells, pair.counts, strict=True)
    ]
    fig.add_heatmap(
        x=list(a.edges), y=list(b.edges), z=cells, coloraxis=colours, hovertext=said,
        hoverinfo="text", opacity=0.75, row=row, col=column,
    )  # fmt: skip
    shown = [
        p for p in info.trials
        if pair.first in p.params and pair.second in p.params and pair.objective in p.values
    ]  # fmt: skip
    fig.add_scatter(
        x=[_beside(a, p, pair.first, 0.618) for p in shown],
        y=[_beside(b, p, pair.second, 0.755) for p in shown],
        mode="markers",
        marker={
            "size": 7, "color": [p.values[pair.objective] / scale for p in shown],
            "coloraxis": colours, "line": {"width": 1, "color": "#fff"},
        },
        customdata=[p.label for p in shown], hovertext=[p.hover for p in shown], hoverinfo="text",
        showlegend=False, row=row, col=column,
    )  # fmt: skip


def _beside(axis: Axis, point: TrialPoint, name: str, step: float) -> float:
    """Its place, moved a little, the same way every time, so that trials with equal values are told apart."""
    off = 0.08 * ((point.number * step) % 1 - 0.5)
    at, ends = position(axis, point.params[name]), (axis.edges[0], axis.edges[-1])
    if axis.logarithmic:
        return float(at * (ends[1] / ends[0]) ** off)
    return at + (off * 3 if axis.options else off * (ends[1] - ends[0]))


def words(info: InteractionsInfo) -> Words:
    missing = None
    if not info.pairs:
        missing = (
            "Fewer than two parameters could be told apart by importance, so there are no pairs to show: "
            f"that needs {MIN_TRIALS} complete trials or more, and two parameters that vary."
        )
    reasons = list(dict.fromkeys(m.reason for m in info.measures if m.reason))
    lead = [said_of(len(info.trials), info.n_trials, "complete trials")]
    if missing is None:
        lead += [_fitted(info), _finding(info), *_multiplying(info), *reasons[:1]]
        if len(reasons) > 1:
            lead.append(f"{len(reasons)} pairs have no measure; the table says which.")
    shorts = [OBJECTIVES[name].short for name in dict.fromkeys(p.objective for p in info.pairs)]
    where = ""
    if len(shorts) > 1:
        below, above = listed(shorts[::2]), listed(shorts[1::2])
        where = f"Below the diagonal the {below}, above it the {above}, with the same parameters. "
    return Words(
        lead=tuple(text for text in lead if text) if missing is None else (),
        missing=missing,
        reading=(
            f"{where}Each cell is the mean of its complete trials, each dot one trial, moved a little where values are "
            "equal; dark is lower, empty cells were never tried. The share is of all variance, beyond what "
            "all parameters do alone (straight, curved or in steps) and the products of all other pairs explain, "
            "fitted together, and corrected for chance, so it can lie below 0; its interval of 90 % is for noise that "
            "is alike everywhere. p is from shuffled residuals, so 0.001 or more, and allows for noise that is not. Only "
            "products are looked for: a joint effect of another form, or of three parameters, can be missed or "
            "seen in a pair beside it. p holds for trials drawn without regard to their results."
        ),
        table=_table(info) if info.measures else None,
        picture="Heat maps of the objectives over pairs of parameters, with the trials",
    )  # fmt: skip


def _fitted(info: InteractionsInfo) -> str:
    """What was fitted, to how many trials."""
    fits = dict.fromkeys((m.n, m.n_terms) for m in info.measures if m.p is not None)
    said = listed([f"{n} complete trials with {terms} terms" for n, terms in fits])
    return (
        f"One model holds what every parameter does alone and the products of all pairs: {said}."
        if fits
        else ""
    )


def _multiplying(info: InteractionsInfo) -> list[str]:
    """Pairs that a logarithm takes away."""
    named = [
        f"{m.first} with {m.second} (p = {m.p_log:.2g} for log {OBJECTIVES[m.objective].title})"
        for m in info.measures
        if m.p_log is not None and m.p_log >= ALPHA
    ]
    if not named:
        return []
    return [
        f"On a logarithmic scale this is not seen, so that effects may simply multiply: {'; '.join(named)}."
    ]


def _finding(info: InteractionsInfo) -> str:
    measured = [m for m in info.measures if m.p_holm is not None]
    if not measured:
        return "No interaction can be measured yet: the pictures are all there is."
    sure = [m for m in measured if (m.p_holm or 0) < ALPHA]
    if not sure:
        return f"None of {len(measured)} measured pairs shows an interaction (Holm-corrected p below 0.05)."
    named = "; ".join(
        f"{m.first} with {m.second} for {OBJECTIVES[m.objective].title} ({100 * (m.omega2 or 0):.0f} %)"
        for m in sorted(sure, key=lambda m: -(m.omega2 or 0))
    )
    return f"Of {len(measured)} measured pairs these act together beyond main effects: {named}."


def _table(info: InteractionsInfo) -> Table:
    return Table(
        caption="Share of variance of each pair beyond main effects and all other pairs, with its interval",
        header=(
            "objective", "pair", "trials", "share, %", "90 % interval", "F", "p", "p, Holm", "p of the log", "why not",
        ),
        rows=tuple(
            (
                OBJECTIVES[m.objective].title, f"{m.first} with {m.second}", str(m.n),
                *_measure(m), m.reason or "",
            )
            for m in info.measures
        ),
    )  # fmt: skip


def _measure(m: Interaction) -> tuple[str, ...]:
    if m.omega2 is None or m.f is None or m.p is None or m.p_holm is None:
        return "", "", "", "", "", ""
    ends = "" if m.low is None or m.high is None else f"{_points(m.low)} to {_points(m.high)}"
    return _points(m.omega2), ends, f"{m.f:.2f} ({m.q}, {m.df})", *map(_p, (m.p, m.p_holm, m.p_log))


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # no minus before a 0


def _p(p: float | None) -> str:
    return "" if p is None else f"{p:.2g}"
