"""Sections to one HTML page that needs nothing else: style, script and figures inside it.

A report's figures are drawn by plotly.js, which is inside, compressed; those of a still page are drawings already.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from dashboards import svg, theme
from dashboards.page import Words
from dashboards.rules import WORDS

TEMPLATES = Path(__file__).parent / "templates"
LIBRARY = "/* here goes plotly.js */"  # in pages that earlier versions stored
LEVEL = 6  # the highest takes a quarter longer and saves 3 kB
STAND_OUT = ("Warning", *WORDS.values())
SHOWN_ROWS = 250  # of a table on the page; its files hold all


@dataclass(frozen=True, kw_only=True)
class Section:
    """One page: its words, its figure if it has one (not drawn where `words.missing`), its short name, links, the
    files of its table."""

    key: str
    title: str
    words: Words
    drawing: go.Figure | None = None
    short: str = ""
    links: tuple[tuple[str, str], ...] = ()
    table_links: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> go.Figure | None:
        """The figure, where there is something to see."""
        return self.drawing if self.words.missing is None else None


def render(
    title: str,
    subtitle: str,
    sections: Sequence[Section],
    footer: str,
    *,
    still: bool = False,
    runs: Mapping[str, str] | None = None,
) -> str:
    """The whole page. Everything but our own files is escaped. `still`: figures without zoom and menus, and without
    the megabytes of plotly.js. `runs`: name of a trial -> address that its name in a table leads to."""
    plotted = not still and any(s.shown for s in sections)
    html = _environment().get_template("page.html.j2").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        footer=footer,
        runs=runs or {},
        shown_rows=SHOWN_ROWS,
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        still=still,
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        plots=(TEMPLATES / "plots.js").read_text(encoding="utf-8"),
        config=_inside_script(json.dumps(theme.CONFIG)),
        library=_packed_plotly() if plotted else "",
    )  # fmt: skip
    return str(html)


def add_library(page: str) -> str:
    """A page that an earlier version rendered without its library, made whole; any other text as it is."""
    return page.replace(LIBRARY, str(get_plotlyjs()), 1)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["still"] = svg.drawn
    environment.filters["data"] = _data
    environment.filters["tied"] = _tied
    environment.filters["marked"] = _marked
    return environment


def _marked(text: str) -> Markup:
    """A sentence for the page: what it begins with stands out if it is a verdict or a warning, and what stands between
    backticks is a command."""
    safe = str(escape(_tied(text)))
    safe = re.sub(f"^({'|'.join(STAND_OUT)}):", r"<strong>\1:</strong>", safe)
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", safe))  # noqa: S704 - escaped above


def _tied(text: str) -> str:
    """A number stays on the line of its unit."""
    return re.sub(
        r"(?<=\d) (?=(%|±|[kMGTPE]FLOP|points|([kM] )?parameters)( |[.,;:)]|$))", "\N{NO-BREAK SPACE}", text
    )


@cache
def _packed_plotly() -> str:
    """plotly.js, of what is installed, compressed and as text; always the same bytes."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), LEVEL, mtime=0)).decode()


def _data(figure: go.Figure) -> str:
    """JSON that can stand inside a script element."""
    return _inside_script(str(figure.to_json()))


def _inside_script(text: str) -> str:
    """JSON without the characters that could end a script element."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
