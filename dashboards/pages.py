"""The pages of a report, in order.

A page is about the whole study or about one kind of section or design (`ABOUT`): where a study has none of that kind, its
report has no such page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import plotly.graph_objects as go

from dashboards import (
    arms_pareto,
    confirmation,
    controls,
    curves,
    decisions,
    dropmap,
    early_stopping,
    effects,
    factorial,
    health,
    history,
    importance,
    interactions,
    overlap,
    overview,
    pareto,
    path,
    regimes,
    slices,
    slopes,
    timeline,
    tuning,
)
from dashboards.page import Words
from reprtune.record.schema import StudyRecord


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page's three pure steps: record -> info, info -> figure, info -> words.

    `about`: `study`, `factorial`, `regimes` (a factorial that asks about one factor), `tuned`, or the kind of the sections
    or of the designs that it is about.
    """

    title: str
    short: str
    about: str
    info: Callable[[StudyRecord], Any]
    figure: Callable[[Any], go.Figure]
    words: Callable[[Any], Words]


def _page(short: str, module: ModuleType) -> Page:
    return Page(
        title=module.TITLE,
        short=short,
        about=module.ABOUT,
        info=module.info,
        figure=module.figure,
        words=module.words,
    )


PAGES: dict[str, Page] = {
    "overview": _page("Answer", overview),
    "decisions": _page("Decisions", decisions),
    "regimes": _page("Regimes", regimes),
    "factors": _page("Factors", factorial),
    "path": _page("Path", path),
    "tuning": _page("Tuning", tuning),
    "health": _page("Checks", health),
    "confirmation": _page("Confirmation", confirmation),
    "importance": _page("Importance", importance),
    "pareto": _page("Pareto front", pareto),
    "slices": _page("Parameters", slices),
    "interactions": _page("Pairs", interactions),
    "history": _page("Course", history),
    "curves": _page("Curves", curves),
    "dropmap": _page("Dropped filters", dropmap),
    "overlap": _page("Overlap", overlap),
    "stopping": _page("Early stopping", early_stopping),
    "timeline": _page("Workers", timeline),
    "controls": _page("Controls", controls),
    "effects": _page("Effects", effects),
    "slopes": _page("Seeds", slopes),
    "arms_pareto": _page("Arms against cost", arms_pareto),
}


OF_ARMS = (
    *(
        "overview",
        "decisions",
        "regimes",
        "factors",
        "path",
        "controls",
        "effects",
        "slopes",
        "arms_pareto",
        "tuning",
    ),
)


def pages_of(record: StudyRecord) -> dict[str, Page]:
    """The pages of this study's report; without a search its arms, which are its subject then, come first."""
    kinds = {"study", *(section.kind for section in record.spec.sections)}
    kinds |= {section.design.kind for section in record.spec.comparisons}
    kinds |= {"factorial" for section in record.spec.comparisons if section.design.is_factorial}
    kinds |= {"regimes" for section in record.spec.comparisons if getattr(section.design, "asked", None)}
    kinds |= {"tuned" for section in record.spec.comparisons if section.tune is not None}
    first = () if record.spec.search else OF_ARMS
    keys = dict.fromkeys((*first, *PAGES))
    return {key: PAGES[key] for key in keys if PAGES[key].about in kinds}
