"""One trial as one page, for the tracking server: its curve with phases shaded, and its drops."""

from __future__ import annotations

from dashboards import curves, dropmap, happenings
from dashboards.html import Section, add_library, render
from reprtune.history import History
from reprtune.record.pack import read_plots_data

FOOTER = "Errors are on the validation part."


def trial_html(history: History, title: str, subtitle: str = "") -> str:
    """A page that needs no network, and weighs little: a study has hundreds. `title` names the trial, `subtitle` says
    more."""
    return render(title, subtitle, sections(history, title), FOOTER, still=True)


def sections(history: History, title: str) -> list[Section]:
    """What can be seen of one trial."""
    shown = (curves.curve_of_all(history, title, "trial"),) if history.points else ()
    drops = (dropmap.drop_map(history, title),) if dropmap.drops_filters(history) else ()
    curve_info = curves.CurvesInfo(curves=shown, n=len(shown))
    drop_info = dropmap.DropMapInfo(maps=drops, n_with_drops=len(drops))
    found = [
        Section(
            key="curves",
            title="Learning curve",
            words=curves.words(curve_info),
            drawing=curves.figure(curve_info),
        ),
        Section(
            key="dropmap",
            title=dropmap.TITLE,
            words=dropmap.words(drop_info),
            drawing=dropmap.figure(drop_info),
        ),
    ]
    if history.happenings:
        told = happenings.info(history)
        found.append(
            Section(
                key="happenings",
                title=happenings.TITLE,
                words=happenings.words(told),
                drawing=happenings.figure(told),
            )
        )
    return found


def drawn(data: str) -> str:
    """The same page from what a worker wrote (`record.pack.plots_data`), or from the page without plotly.js that
    those of earlier versions wrote."""
    return add_library(data) if data.startswith("<") else trial_html(*read_plots_data(data))
