"""Plain training of other lengths as a line beside the search, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards import theme
from dashboards.units import count, p_text, percent, value
from reprtune.analysis.plain_curve import FrontBesideCurve, PlainCurve
from reprtune.record.labels import slot_label
from reprtune.spec.objectives import COST

NAME = "plain training of other lengths"
READING_OF_CURVE = (
    " The dashed line is what the same cost buys without any method: standard training for less or more steps (diamonds: means "
    "with 95 % intervals over seeds, the spread pooled over lengths; between them straight over the logarithm of the "
    "cost). A trial that does not lie above the line gains nothing against its cost."
)
BETWEEN = 9  # points of the line from one length to the next: straight over the logarithm of the cost


def add_curve(fig: go.Figure, curve: PlainCurve, size: float, panel: Mapping[str, Any]) -> None:
    """Accuracy over cost, `size` stored ones to a unit of the axis: the line, and on it every length with the interval
    of its mean. One mark in the legend for both."""
    costs = np.concatenate(
        [
            np.geomspace(a.cost, b.cost, BETWEEN)
            for a, b in zip(curve.lengths, curve.lengths[1:], strict=False)
        ]
    )
    known = [(c, e) for c in costs if (e := curve.at(float(c))) is not None]
    fig.add_scatter(
        x=[float(c) / size for c, _ in known], y=[100 * (1 - e) for _, e in known], mode="lines", name=NAME,
        line={"color": theme.GREY, "width": 2, "dash": "dash"}, hoverinfo="skip", legendgroup=NAME,
        showlegend=False, **panel,
    )  # fmt: skip
    halves = [one.half for one in curve.lengths]
    fig.add_scatter(
        x=[one.cost / size for one in curve.lengths], y=[100 * (1 - one.mean) for one in curve.lengths],
        mode="lines+markers", name=f"{NAME}, 95 % interval" if any(halves) else NAME,
        line={"color": theme.GREY, "width": 0, "dash": "dash"},
        marker={"symbol": "diamond", "size": 11, "color": theme.GREY},
        error_y={"type": "data", "array": [100 * (h or 0) for h in halves], "thickness": 1.5, "width": 6}
        if any(halves) else None,
        hovertext=[
            f"<b>{theme.text(one.arm)}</b><br>error {percent(one.mean)}, mean of {count(len(one.errors), 'seed')}<br>"
            f"{value(COST, one.cost)}"
            for one in curve.lengths
        ],
        hoverinfo="text", legendgroup=NAME, legendrank=2, showlegend=panel.get("row", 1) == 1, **panel,
    )  # fmt: skip


def beside(found: FrontBesideCurve | None) -> str:
    """Whether the front lies below plain training of the same cost, in a sentence or two; empty where the study has no
    other lengths of it."""
    if found is None:
        return ""
    inside = found.n - found.outside
    outside = (
        f" {count(found.outside, 'trial')} of the front {'costs' if found.outside == 1 else 'cost'} less or more than "
        "every length of plain training, and cannot be held against it."
        if found.outside
        else ""
    )
    if not inside:
        return outside.strip()
    if found.slot is None:
        return f"No trial of the front lies below plain training of its cost: no gain against cost is seen.{outside}"
    which = (
        "Its one trial that can be compared"
        if inside == 1
        else f"{found.below} of {inside} trials of the front"
    )
    verb = "lies" if inside == 1 or found.below == 1 else "lie"
    text = (
        f"{which} {verb} below plain training of {'its' if verb == 'lies' else 'their'} cost, by up to "
        f"{100 * found.most:.2f} points of validation error ({slot_label(found.slot)}); selected, not confirmed."
    )
    return f"{text} {_chance(found)}{outside}"


def _chance(found: FrontBesideCurve) -> str:
    if found.p is None:
        return "Plain training has no spread over seeds here, so chance cannot be told from gain."
    if found.is_more_than_chance:
        return f"For the best of {count(found.k, 'trial')} that is more than chance explains ({p_text(found.p)})."
    among = count(found.k, "trial")
    return f"The best of {among} may lie so far below it by chance ({p_text(found.p)})."
