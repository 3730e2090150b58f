"""Plain training of other lengths as a line beside the search, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards import theme
from dashboards.units import count, p_text, percent, value
from reprtune.analysis.plain_curve import FrontBesideCurve, PlainCurve, PlainLength
from reprtune.record.labels import slot_label
from reprtune.spec.objectives import COST

NAME = "plain training of other lengths"
READING_OF_CURVE = (
    " The dashed line is what the same cost buys without any method: standard training for less or more steps (triangles: means "
    "with 95 % intervals over seeds, the spread pooled over lengths; between them straight over the logarithm of the "
    "cost). A trial on the line or below it gains nothing against its cost."
)
BETWEEN = 8  # points of the line from one length to the next: straight over the logarithm of the cost


def add_curve(fig: go.Figure, curve: PlainCurve, size: float, panel: Mapping[str, Any]) -> None:
    """Accuracy over cost, `size` stored ones to a unit of the axis: a line, and on it every length with the interval of
    its mean."""
    known = any(one.half for one in curve.lengths)
    costs = _costs(curve)
    fig.add_scatter(
        x=[cost / size for cost in costs], y=[100 * (1 - (curve.at(cost) or 0)) for cost in costs], mode="lines",
        name=f"{NAME}, 95 % interval" if known else NAME,
        line={"color": theme.GREEN, "width": 2, "dash": "dash"}, hoverinfo="skip", legendrank=2, legendgroup=NAME,
        **panel,
    )  # fmt: skip
    fig.add_scatter(
        x=[one.cost / size for one in curve.lengths], y=[100 * (1 - one.mean) for one in curve.lengths],
        mode="markers", name=NAME, marker={"symbol": "triangle-up", "color": theme.GREEN, "size": 12},
        error_y={
            "type": "data", "array": [100 * (one.half or 0) for one in curve.lengths], "thickness": 1.5, "width": 6,
        } if known else None,
        hovertext=[_hover(one) for one in curve.lengths], hoverinfo="text", legendgroup=NAME, showlegend=False,
        **panel,
    )  # fmt: skip


def _costs(curve: PlainCurve) -> list[float]:
    """Where the line is drawn through: every length, and some between two."""
    pairs = zip(curve.lengths, curve.lengths[1:], strict=False)
    between = [float(c) for a, b in pairs for c in np.geomspace(a.cost, b.cost, BETWEEN + 2)[1:-1]]
    return sorted([*between, *(one.cost for one in curve.lengths)])


def _hover(one: PlainLength) -> str:
    mean = f"error {percent(one.mean)}, mean of {count(len(one.errors), 'seed')}"
    return f"<b>{theme.text(one.arm)}</b><br>{mean}<br>{value(COST, one.cost)}"


def beside(found: FrontBesideCurve | None) -> str:
    """Whether the front beats plain training of the same cost, in a few sentences; empty where the study has no other
    lengths of it."""
    if found is None:
        return ""
    return " ".join(filter(None, (_below(found), _chance(found), _outside(found))))


def _below(found: FrontBesideCurve) -> str:
    inside = found.n - found.outside
    if not inside:
        return ""
    if found.slot is None:
        return "No trial of the front has a lower validation error than plain training of its cost: no gain against cost is seen."
    one = found.below == 1
    return (
        f"{found.below} of {count(inside, 'trial')} of the front {'has' if one else 'have'} a lower validation error than plain "
        f"training of {'its' if one else 'their'} cost, by {'' if one else 'up to '}{100 * found.most:.2f} points "
        f"({slot_label(found.slot)}); selected, not confirmed."
    )


def _outside(found: FrontBesideCurve) -> str:
    if not found.outside:
        return ""
    verb = "costs" if found.outside == 1 else "cost"
    return (
        f"{count(found.outside, 'trial')} of the front {verb} less or more than every length of plain training, and cannot "
        "be held against it."
    )


def _chance(found: FrontBesideCurve) -> str:
    """Only where some trial is lower."""
    if found.slot is None:
        return ""
    if found.p is None:
        return "Plain training has no spread over seeds here, so chance cannot be told from gain."
    if found.is_more_than_chance:
        return f"For the best of {count(found.k, 'trial')} that is more than chance explains ({p_text(found.p)})."
    return f"The best of {count(found.k, 'trial')} may be so much lower by chance ({p_text(found.p)})."
