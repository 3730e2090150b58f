"""The marks, dashes and legend of a figure that is drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import escape

from dashboards.theme import SERIES, plain

DASHES = {"dash": "7 5", "dot": "2 4", "dashdot": "7 4 2 4"}
CORNERS = {"diamond": (4, 0.0), "square": (4, 45.0), "pentagon": (5, 0.0), "hexagon": (6, 0.0)}
# On a field of 2 by 2, from its top to the right and round.
CROSS = "M-.35-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z"
SWATCH_WIDTH, SWATCH_HEIGHT = 28, 14


def colour(trace: Mapping[str, Any], position: int) -> str:
    """Of a trace, which stands at this position."""
    own = trace.get("line", {}).get("color") or trace.get("marker", {}).get("color")
    return str(own or SERIES[position % len(SERIES)])


def has(trace: Mapping[str, Any], what: str) -> bool:
    """Does it draw `lines`, `markers`?"""
    return what in trace.get("mode", "lines+markers")


def pen(trace: Mapping[str, Any], position: int) -> str:
    """How its line is drawn, as attributes."""
    line = trace.get("line", {})
    dash = f' stroke-dasharray="{DASHES[line["dash"]]}"' if line.get("dash") in DASHES else ""
    opacity = f' opacity="{trace["opacity"]}"' if "opacity" in trace else ""
    return f'stroke="{escape(colour(trace, position))}" stroke-width="{line.get("width", 2)}"{dash}{opacity}'


def symbol(trace: Mapping[str, Any], position: int, x: str, y: str) -> str:
    """One mark at a place, and on it the dot of a symbol that has one."""
    marker = trace.get("marker", {})
    name, _, dot = marker.get("symbol", "circle").partition("-")
    fill = escape(marker.get("color") or colour(trace, position))
    shape = f'<path d="{_outline(name)}" transform="scale({marker.get("size", 6) / 2:g})" fill="{fill}"/>'
    if dot:
        shape += f'<circle r="2" fill="{escape(marker["line"]["color"])}"/>'
    # Only a drawing of its own can stand at a percentage.
    return f'<svg x="{x}" y="{y}" overflow="visible">{shape}</svg>'


def legend(traces: list[Mapping[str, Any]]) -> str:
    """What each look stands for, where there are several."""
    named = [(i, t) for i, t in enumerate(traces) if t.get("showlegend", "name" in t)]
    if len(named) < 2:
        return ""
    items = "".join(f"<li>{_swatch(t, i)}{escape(plain(t['name']))}</li>" for i, t in named)
    return f'<ul class="legend">{items}</ul>'


def _swatch(trace: Mapping[str, Any], position: int) -> str:
    middle = SWATCH_HEIGHT // 2
    drawn = ""
    if has(trace, "lines"):
        drawn = f'<path d="M0 {middle}H{SWATCH_WIDTH}" {pen(trace, position)}/>'
    if has(trace, "markers"):
        drawn += symbol(trace, position, str(SWATCH_WIDTH // 2), str(middle))
    return f'<svg width="{SWATCH_WIDTH}" height="{SWATCH_HEIGHT}">{drawn}</svg>'


def _outline(name: str) -> str:
    corners: list[tuple[float, float]]
    if name == "cross":
        return CROSS
    if name == "star":
        corners = [(1 if k % 2 == 0 else 0.45, 36 * k) for k in range(10)]
    elif name in CORNERS:
        n, turned = CORNERS[name]
        corners = [(math.sqrt(2) if name == "square" else 1, turned + 360 * k / n) for k in range(n)]
    elif name == "circle":
        return "M0-1A1 1 0 0 1 0 1A1 1 0 0 1 0-1Z"
    else:
        raise ValueError(f"no mark is drawn for the symbol {name!r}")
    points = [(r * math.sin(math.radians(a)), -r * math.cos(math.radians(a))) for r, a in corners]
    return "M" + "L".join(f"{x:.3g} {y:.3g}" for x, y in points) + "Z"
