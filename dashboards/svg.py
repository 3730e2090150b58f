"""A figure as SVG that needs no script: the pages of single trials, of which there are hundreds, would each be
four megabytes with plotly.js in them.

Drawn from the same figure that plotly draws, as far as those pages need it: lines and marks with gaps, cells of a
few colours, shaded spans and vertical lines, on linear and logarithmic axes and on those of names.

Notations
    share   how far along an axis something lies, from 0 to 1
    units   what is inside the axes is drawn on a field of UNITS by UNITS that is stretched over its place, however
            wide that is; text and marks, which must not be stretched, stand at percentages above it
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup, escape

from dashboards import svg_axes
from dashboards.png import png
from dashboards.svg_axes import Axis
from dashboards.svg_marks import DASHES, colour, has, legend, pen, symbol
from dashboards.theme import plain
from reprtune.analysis.stopping_account import spread

UNITS = 10_000
AROUND = 100  # px of a figure's height for legend, labels and title
LETTER = 6.4  # px: about as wide as one of a label is
MAX_LETTERS = 30
MAX_TOLD = 600  # points that tell their numbers, of one figure: it is hardly more pixels wide
MAX_MARKS = 60  # on one line
MAX_LISTED = 8_000  # cells that are told one by one, of one figure
GAP = 0.12  # of a cell, between it and the next,
MAX_PARTED = 300  # where no row has more of them

Place = tuple[float, float]


def drawn(figure: go.Figure) -> Markup:
    """The figure as HTML, as wide as its place.

    Raises:
        ValueError: it has something that is not drawn here.
    """
    plain_figure = figure.to_plotly_json()
    layout, traces = plain_figure["layout"], plain_figure["data"]
    for trace in traces:
        if trace["type"] not in ("scatter", "heatmap"):
            raise ValueError(f"a page without plotly.js draws scatter and heatmap, but got {trace['type']}")
    axes = {
        name: svg_axes.axis(layout.get(name, {}), [v for t in traces if _axis(t, name[0]) == name for v in t[name[0]]])
        for name in {"xaxis", "yaxis", *(_axis(t, "y") for t in traces)}
    }  # fmt: skip
    x, y = axes["xaxis"], axes["yaxis"]
    inside = [_shape(shape, x) for shape in layout.get("shapes", ())]
    above: list[str] = []
    told: list[str] = []
    n_lines = sum(has(t, "lines") for t in traces)
    for i, trace in enumerate(traces):
        own = axes[_axis(trace, "y")]
        if trace["type"] == "heatmap":
            inside.append(_cells(trace))
            told += _rows(trace)
        elif points := list(_points(trace, x, own)):
            inside.append(_line(trace, points, i) if has(trace, "lines") else _dots(trace, points, i))
            if has(trace, "lines"):
                known = [(k, point) for k, point in enumerate(points) if point]
                told += [_told(trace, k, point) for k, point in spread(known, MAX_TOLD // n_lines)]
                few = spread(known, MAX_MARKS) if has(trace, "markers") else []
                above += [symbol(trace, i, _at(point[0]), _at(point[1])) for _, point in few]
    height = layout.get("height", 450) - AROUND
    field = "".join(inside) + f'<g class="told">{"".join(told)}</g>'
    left = _left(y)
    return Markup(  # noqa: S704 - what users wrote is escaped where it is put in
        f'{legend(traces)}<div class="axes" style="padding-left:{left}px">'
        f'<svg width="100%" height="{height}">{_scales(x, y, height, left)}'
        f'<svg width="100%" height="{height}" viewBox="0 0 {UNITS} {UNITS}" preserveAspectRatio="none">{field}</svg>'
        f"{''.join(above)}</svg></div>"
    )


def _axis(trace: Mapping[str, Any], letter: str) -> str:
    """The name in the layout of what it is drawn on."""
    return f"{letter}axis{trace.get(f'{letter}axis', letter)[1:]}"


def _units(share: float) -> int:
    return round(UNITS * share)


def _at(share: float) -> str:
    """A place for what is not stretched."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _points(trace: Mapping[str, Any], x: Axis, y: Axis) -> Iterator[Place | None]:
    """(share from the left, share from the top); None is a gap."""
    for a, b in zip(trace["x"], trace["y"], strict=True):
        across, up = x.share(a), y.share(b)
        yield None if across is None or up is None else (across, 1 - up)


def _line(trace: Mapping[str, Any], points: Sequence[Place | None], position: int) -> str:
    """From point to point, each as far from the one before, which takes the fewest digits; a point between two gaps
    is a dot."""
    path = []
    for known, run in groupby(points, key=bool):
        if known:
            (start, *steps) = _steps(list(filter(None, run)), (0, 0))
            path.append(
                f"M{start[0]} {start[1]}" + ("l" + " ".join(f"{x} {y}" for x, y in steps) if steps else "h0")
            )
    return f'<path class="line" d="{"".join(path).replace(" -", "-")}" {pen(trace, position)}/>'


def _dots(trace: Mapping[str, Any], points: Sequence[Place | None], position: int) -> str:
    """Round marks without a line."""
    path = "".join(f"m{x} {y}h0" for x, y in _steps(list(filter(None, points)), (0, 0)))
    size = trace["marker"]["size"]
    return f'<path class="line" d="{path}" stroke="{escape(colour(trace, position))}" stroke-width="{size}"/>'


def _steps(points: Sequence[Place], start: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """In units, from one to the next."""
    for point in points:
        here = (_units(point[0]), _units(point[1]))
        yield here[0] - start[0], here[1] - start[1]
        start = here


def _told(trace: Mapping[str, Any], k: int, point: Place) -> str:
    """A point that tells its numbers to whoever points at it."""
    words, _, more = trace["hovertemplate"].removesuffix("</extra>").partition("<extra>")
    text = re.sub(r"%\{(\w+)(?::([^}]+))?\}", lambda m: format(trace[m[1]][k], m[2] or ""), words)
    text += f" ({more})" if more else ""
    return f'<path d="M{_units(point[0])} {_units(point[1])}h0"><title>{escape(plain(text))}</title></path>'


def _cells(trace: Mapping[str, Any]) -> str:
    """They fill the axes: one pixel of a picture for each, and lines of paper between them."""
    low, high = trace["zmin"], trace["zmax"]
    scale = [(edge, str(look)) for edge, look in trace["colorscale"]]
    looks = {
        z: [look for edge, look in scale if edge <= (z - low) / (high - low)][-1]
        for row in trace["z"] for z in row if z is not None
    }  # fmt: skip
    picture = png([[None if z is None else looks[z] for z in row] for row in trace["z"]])
    content = base64.b64encode(picture).decode()
    n_rows, n_columns = len(trace["z"]), len(trace["x"])
    across, up = UNITS / n_columns, UNITS / n_rows
    columns = "".join(
        f"M{_units(k / n_columns)} 0v{UNITS}" for k in range(1, n_columns if n_columns <= MAX_PARTED else 0)
    )
    rows = "".join(f"M0 {_units(k / n_rows)}h{UNITS}" for k in range(1, n_rows))
    return (
        f'<image width="{UNITS}" height="{UNITS}" preserveAspectRatio="none" href="data:image/png;base64,{content}"/>'
        f'<path class="paper" d="{columns}" stroke-width="{GAP * across:.1f}"/>'
        f'<path class="paper" d="{rows}" stroke-width="{GAP * up:.1f}"/>'
    )


def _rows(trace: Mapping[str, Any]) -> list[str]:
    """What each row of cells tells to whoever points at it: where in it the cells have which name."""
    names = (trace.get("meta") or {}).get("names", ())
    n_rows = len(trace["z"])
    found = []
    for k, (label, row) in enumerate(zip(trace["y"], trace["z"], strict=True)):
        cells = [
            f"{name}: {_some(here, MAX_LISTED // n_rows)}"
            for z, name in enumerate(names)
            if name and (here := _where(row, z))
        ]
        if cells:
            found.append(
                f'<rect y="{_units(k / n_rows)}" width="{UNITS}" height="{_units(1 / n_rows)}">'
                f"<title>{escape(plain(label))}; {escape('; '.join(cells))}</title></rect>"
            )
    return found


def _where(row: Sequence[int | None], z: int) -> list[int]:
    return [i for i, state in enumerate(row) if state == z]


def _some(indices: Sequence[int], most: int) -> str:
    more = f" and {len(indices) - most} more" if len(indices) > most else ""
    return ", ".join(map(str, indices[:most])) + more


def _shape(shape: Mapping[str, Any], x: Axis) -> str:
    """A span or a line over a share of the height, from the bottom."""
    left, right = (_units(x.share(shape[end]) or 0) for end in ("x0", "x1"))
    top, bottom = (_units(1 - shape[end]) for end in ("y1", "y0"))
    if shape["type"] == "line":
        pencil = shape["line"]
        dash = f' stroke-dasharray="{DASHES[pencil["dash"]]}"' if pencil["dash"] in DASHES else ""
        return (
            f'<path class="line" d="M{left} {bottom}L{right} {top}" stroke="{escape(pencil["color"])}" '
            f'stroke-width="{pencil["width"]}"{dash}/>'
        )
    return (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" '
        f'fill="{escape(shape["fillcolor"])}" opacity="{shape["opacity"]}"/>'
    )


def _left(y: Axis) -> int:
    """px for the labels of the axis, and for its title."""
    letters = max((len(_short(label)) for _, label in y.ticks), default=0)
    return round(LETTER * letters) + 10 + (22 if y.title else 0)


def _short(label: str) -> str:
    words = plain(label)
    return words if len(words) <= MAX_LETTERS else f"{words[: MAX_LETTERS // 2]}…{words[-MAX_LETTERS // 2 :]}"


def _scales(x: Axis, y: Axis, height: int, left: int) -> str:
    """Grid, labels and titles."""
    lines, texts = [], []
    for share, label in x.ticks:
        at = _at(share)
        lines += [f'<line x1="{at}" x2="{at}" y2="{height}"/>'] if x.grid else []
        texts.append(f'<text x="{at}" y="{height + 17}" class="middle">{escape(_short(label))}</text>')
    for share, label in y.ticks:
        top = height * (1 - share)
        lines += [f'<line x2="100%" y1="{top:.1f}" y2="{top:.1f}"/>'] if y.grid else []
        texts.append(f'<text x="-6" y="{top + 4:.1f}" class="end">{escape(_short(label))}</text>')
    texts.append(f'<text x="50%" y="{height + 40}" class="middle">{escape(plain(x.title))}</text>')
    if y.title:
        turned = f'transform="rotate(-90)" x="{-height // 2}" y="{12 - left}" class="middle"'
        texts.append(f"<text {turned}>{escape(plain(y.title))}</text>")
    return f'<g class="grid">{"".join(lines)}</g>{"".join(texts)}'
