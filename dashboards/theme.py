"""One look for every figure: a template, colours that colour-blind readers can tell apart, labels.

The colours keep a contrast of 3 to the white and to the dark page (WCAG 2.1, 1.4.11) and stay apart for
readers with any of the three dichromacies (Machado et al. 2009); wherever one tells something, a symbol,
pattern, dash or label tells it too. Text and grid colours are set here for a figure on its own; on a page,
style.css sets them for light, dark and print.
"""

from __future__ import annotations

import html
import re
from typing import Any

import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PURPLE = "#2563D9", "#C08A00", "#2E7D57", "#AC3FA1"
SKY, VERMILLION, GREY = "#2A9BE8", "#B5431C", "#909090"
FAINT = "rgba(138,138,138,0.22)"
CLEAR = "rgba(0,0,0,0)"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY)
SYMBOLS = ("diamond", "square", "star", "hexagon", "cross", "pentagon")
COLOURS = {  # by the names that outcomes have them by
    "blue": BLUE, "orange": ORANGE, "green": GREEN, "purple": PURPLE, "sky": SKY, "vermillion": VERMILLION,
    "grey": GREY,
}  # fmt: skip

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#333"},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "colorway": list(SERIES),
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": {"automargin": True, "gridcolor": "#ddd", "zeroline": False, "title": {"standoff": 8}},
        "yaxis": {
            "automargin": True, "gridcolor": "#ddd", "zeroline": False, "title": {"standoff": 8},
            "ticklabelstandoff": 5,
        },
        # Above the plot, as wide as the whole figure: on a phone it takes few lines and covers nothing.
        "legend": {
            "orientation": "h", "xref": "container", "yref": "container", "x": 0, "y": 1, "yanchor": "top",
            "bgcolor": CLEAR,
        },
        "hovermode": "closest",
        "dragmode": False,
    }
)  # fmt: skip

CONFIG: dict[str, Any] = {
    "responsive": True,
    "displayModeBar": False,
    "displaylogo": False,
    "showSendToCloud": False,
    "showEditInChartStudio": False,
    "plotlyServerURL": "",
}


def figure(height: int) -> go.Figure:
    """An empty figure in our look, `height` px high and as wide as its place."""
    return go.Figure(layout={"template": TEMPLATE, "height": height})


def on(colour: str) -> str:
    """Black or white, whichever reads better on one of our colours."""
    return "#fff" if colour in (BLUE, GREEN, VERMILLION, PURPLE) else "#111"


def text(value: object) -> str:
    """Someone's words for a label: plotly reads tags in labels, so they are escaped."""
    return html.escape(str(value), quote=False)


def plain(label: str) -> str:
    """A label as its reader sees it, for what knows no tags; the inverse of `text`."""
    return html.unescape(re.sub("<[^>]*>", "", label.replace("<br>", " ")))


def arm_look(position: int) -> tuple[str, str]:
    """(colour, symbol) of the control arm at this position."""
    colours = (GREY, ORANGE, PURPLE, SKY, GREEN, VERMILLION)
    return colours[position % len(colours)], SYMBOLS[position % len(SYMBOLS)]
