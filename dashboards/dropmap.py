"""Which filters of each layer were dropped in each cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.units import significant
from reprtune.analysis.front import front_ranks
from reprtune.analysis.stopping_account import spread
from reprtune.history import History
from reprtune.record.labels import trial_label
from reprtune.record.ranking import best
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord

TITLE = "Dropped filters"
ABOUT = "study"
MAX_MAPS = 24
MAX_DROPS = 16  # of one trial that are drawn: what happens after every epoch happens a hundred times
# A dot in the cell says "again" to those who cannot tell the two colours apart.
STATES = (
    ("kept", theme.FAINT, "square"),
    ("dropped", theme.BLUE, "square"),
    ("dropped again", theme.ORANGE, "square-dot"),
)
ROW_HEIGHT = 20
MAX_DOTTED = 300  # filters of a layer: cells of more are smaller than a dot
DOT_ROOM = 600  # px: as wide as the cells of a row are about together; dots are smaller where there are many


@dataclass(frozen=True, kw_only=True)
class CycleDrops:
    """One drop: layer -> dropped indices; overlap before it and after the restore (None: not yet)."""

    cycle: int
    epoch: float
    dropped: Mapping[str, tuple[int, ...]]
    overlap_before: Mapping[str, float]
    overlap_after: Mapping[str, float] | None
    levels: Mapping[str, Mapping[str, int]] | None


@dataclass(frozen=True, kw_only=True)
class DropMap:
    """One trial's drops, of several networks the first's; `layers`: droppable layer -> its filters, in network order."""

    label: str
    layers: Mapping[str, int]
    kept_out: Mapping[str, str]
    cycles: tuple[CycleDrops, ...]
    n_members: int = 1


@dataclass(frozen=True, kw_only=True)
class DropMapInfo:
    """The best trial, the front, then others, at most `MAX_MAPS` of the `n_with_drops`."""

    maps: tuple[DropMap, ...]
    n_with_drops: int


def info(record: StudyRecord) -> DropMapInfo:
    settings = joined(record.trials)
    lead, ranked = best(record), front_ranks(settings, record.spec.compared)
    chosen = [
        t for t in (*settings, *record.controls) if t.history and drops_filters(t.history) and not t.repaired
    ]
    far = len(settings)
    order = {
        id(t): (
            lead is None or t.number != lead.number or not t.is_drawn,
            not t.is_drawn,
            ranked.get(t.number, far),
            t.number,
        )
        for t in chosen
    }
    chosen.sort(key=lambda t: order[id(t)])
    return DropMapInfo(
        maps=tuple(drop_map(t.history, trial_label(t)) for t in chosen[:MAX_MAPS] if t.history),
        n_with_drops=len(chosen),
    )


def drops_filters(history: History) -> bool:
    """Not so a trial that drops single weights, which are no cells of a map."""
    return any(drop.dropped for drop in history.drops)


def drop_map(history: History, label: str) -> DropMap:
    """One trial's drops from its history."""
    restores = {r.cycle: r for r in history.restores_of()}
    return DropMap(
        label=label,
        layers=dict(history.layers),
        kept_out=dict(history.kept_out),
        cycles=tuple(
            CycleDrops(
                cycle=d.cycle,
                epoch=d.step / history.steps_per_epoch,
                dropped=dict(d.dropped),
                overlap_before=dict(d.overlap),
                overlap_after=dict(restores[d.cycle].overlap) if d.cycle in restores else None,
                levels={k: dict(v) for k, v in restores[d.cycle].levels.items()}
                if d.cycle in restores
                else None,
            )
            for d in history.drops_of()
        ),
        n_members=history.n_members,
    )


def figure(info: DropMapInfo) -> go.Figure:
    """A heat map, layers by filters, one block per cycle."""
    fig = theme.figure(200)
    for name, colour, symbol in STATES:
        fig.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=name,
            marker={
                "symbol": symbol,
                "size": 12,
                "color": colour,
                "line": {"color": theme.on(colour), "width": float(symbol != "square")},
            },
        )
    if not info.maps:
        return fig
    scale = [[edge / 3, colour] for i, (_, colour, _) in enumerate(STATES) for edge in (i, i + 1)]
    heat, dots, layout = _drawn(info.maps[0])
    fig.add_heatmap(
        **heat, colorscale=scale, zmin=-0.5, zmax=2.5, showscale=False, xgap=1, ygap=1, hoverongaps=False,
        hovertemplate="%{y}, filter %{x}<extra></extra>", meta={"names": ["", *(name for name, _, _ in STATES[1:])]},
    )  # fmt: skip
    # On an axis of their own, where a row is a number: its name for each dot would be most of the page.
    fig.add_scatter(
        x=dots["x"], y=dots["y"], yaxis="y2", mode="markers", hoverinfo="skip", showlegend=False,
        marker={"color": theme.on(theme.ORANGE), "size": dots["marker.size"]},
    )  # fmt: skip
    fig.update_layout(layout, meta={"choices": [_choice(m) for m in info.maps]})
    fig.update_xaxes(title_text="index of the filter in its layer", showgrid=False)
    fig.update_yaxes(showgrid=False)
    return fig


def _drawn(m: DropMap) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(heat map, dots, layout) of one trial; an empty row parts the cycles."""
    width = max(m.layers.values(), default=1)
    rows: list[list[int | None]] = []
    labels: list[str] = []
    before: dict[str, set[int]] = {}
    drawn = {c.cycle for c in spread(m.cycles, MAX_DROPS)}
    for c in m.cycles:
        if c.cycle not in drawn:
            for layer in m.layers:
                before.setdefault(layer, set()).update(c.dropped.get(layer, ()))
            continue
        if rows:
            rows.append([None] * width)
            labels.append("")
        for layer, n in m.layers.items():
            dropped = set(c.dropped.get(layer, ()))
            seen = before.setdefault(layer, set())
            states = [(2 if i in seen else 1) if i in dropped else 0 for i in range(n)]
            rows.append([*states, *[None] * (width - n)])
            labels.append(theme.text(f"cycle {c.cycle + 1} · {layer}"))
            seen |= dropped
    # Rows by name: a text for each cell would be most of the page. Names of empty rows differ in length.
    names = [label or "\u200b" * i for i, label in enumerate(labels)]
    heat = {"z": rows, "x": list(range(width)), "y": names}
    layout = {
        "height": 130 + ROW_HEIGHT * max(3, len(rows)),
        "yaxis.type": "category",
        "yaxis.categoryarray": names,
        "yaxis.categoryorder": "array",
        "yaxis.dtick": 1,
        "yaxis.range": [len(rows) - 0.5, -0.5],
        "yaxis2.range": [len(rows) - 0.5, -0.5],
        "yaxis2.overlaying": "y",
        "yaxis2.visible": False,
        "xaxis.range": [-0.5, width - 0.5],
    }
    again = [
        (x, y)
        for y, row in enumerate(rows)
        for x, state in enumerate(row)
        if state == 2 and width <= MAX_DOTTED
    ]
    dots = {
        "x": [x for x, _ in again],
        "y": [y for _, y in again],
        "marker.size": max(2, min(6, DOT_ROOM // (4 * width))),
    }
    return heat, dots, _nested(layout)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        first, _, rest = path.partition(".")
        if rest:
            nested.setdefault(first, {})[rest] = value
        else:
            nested[first] = value
    return nested


def _choice(m: DropMap) -> dict[str, Any]:
    heat, dots, layout = _drawn(m)
    flat = {f"{axis}.{k}": v for axis in ("xaxis", "yaxis", "yaxis2") for k, v in layout[axis].items()}
    return {
        "label": m.label,
        "trace": [len(STATES), len(STATES) + 1],
        "data": {
            "z": [heat["z"], None],
            "marker.size": [None, dots["marker.size"]],
            **{key: [heat[key], dots[key]] for key in ("x", "y")},
        },
        "layout": {"height": layout["height"], **flat},
    }


def words(info: DropMapInfo) -> Words:
    more = ""
    if info.n_with_drops > len(info.maps):
        more = f" Shown are {len(info.maps)} of {info.n_with_drops} trials that dropped filters."
    if any(m.n_members > 1 for m in info.maps):
        more += " Of a trial that trains several networks these are the first one's; each drops its own."
    if any(len(m.cycles) > MAX_DROPS for m in info.maps):
        more += f" Of more than {MAX_DROPS} drops of a trial so many are drawn, evenly over it."
    if info.maps and info.maps[0].kept_out:
        reasons = "; ".join(f"{layer} {reason}" for layer, reason in info.maps[0].kept_out.items())
        more += f" Never dropped, because their channels cannot be followed soundly: {reasons}."
    return Words(
        missing=None
        if info.maps
        else "No trial has dropped a filter yet. Single weights, and filters that a generation renews, are on no map.",
        reading=(
            "A row is a layer in one cycle, a cell a filter. Orange, with a dot where there is room: it had been "
            "dropped in an earlier cycle too. Layers without a coloured cell lost nothing; the first convolution never does unless "
            f"method.exclude_first is off.{more}"
        ),
        table=_table(info.maps[0]) if info.maps else None,
        picture="Heat map of the dropped filters, layers by filters, for each cycle",
    )


def _table(m: DropMap) -> Table:
    rows = []
    for c in m.cycles:
        for layer, n in m.layers.items():
            after = (c.overlap_after or {}).get(layer)
            levels = ", ".join(f"{k} {v}" for k, v in (c.levels or {}).get(layer, {}).items())
            rows.append(
                (
                    str(c.cycle + 1), f"{c.epoch:g}", layer, f"{len(c.dropped.get(layer, ()))} of {n}",
                    _number(c.overlap_before.get(layer)), _number(after), levels,
                )
            )  # fmt: skip
    return Table(
        caption=f"Drops of {m.label}: overlap is the mean inter-filter overlap, from 0 to 1",
        header=("cycle", "epoch", "layer", "dropped", "overlap before", "after restore", "restored as"),
        rows=tuple(rows),
    )


def _number(value: float | None) -> str:
    return "" if value is None else significant(value)
