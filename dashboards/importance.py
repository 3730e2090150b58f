"""How much each searched parameter matters, per objective."""

from __future__ import annotations

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.units import OBJECTIVE_NAMES, count
from reprtune.analysis.importance import Importance, Importances, importances
from reprtune.record.schema import StudyRecord

TITLE = "Which parameter matters"
LOOKS = {
    "ped-anova": ("PED-ANOVA: sets the best apart", theme.BLUE),
    "fanova": ("fANOVA: explains variance", theme.ORANGE),
}


def info(record: StudyRecord) -> Importances:
    return importances(record)


def figure(info: Importances) -> go.Figure:
    """One panel per objective, one pair of bars per parameter, largest first."""
    answers = [a for a in info.answers if a.shares]
    objectives = list(dict.fromkeys(a.objective for a in answers))
    n_params = max((len(a.shares or {}) for a in answers), default=1)
    titles = [[f"share for {OBJECTIVE_NAMES[o]}, %"] for o in objectives]
    fig = panels(titles, [40 + 44 * n_params] * len(titles))
    shown: set[str] = set()
    for answer in answers:
        row = objectives.index(answer.objective) + 1
        order = _order([a for a in answers if a.objective == answer.objective])
        name, colour = LOOKS[answer.method]
        fig.add_bar(
            y=[theme.text(p) for p in order],
            x=[100 * (answer.shares or {})[p] for p in order],
            name=name,
            legendgroup=answer.method,
            showlegend=answer.method not in shown,
            orientation="h",
            marker_color=colour,
            hovertemplate="%{y}: %{x:.1f} %<extra>" + answer.method + "</extra>",
            row=row,
            col=1,
        )
        shown.add(answer.method)
    fig.update_layout(barmode="group")
    fig.update_xaxes(rangemode="tozero")
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return fig


def _order(answers: list[Importance]) -> list[str]:
    """Parameters by their largest share."""
    names = list(answers[0].shares or {})
    return sorted(names, key=lambda p: -max((a.shares or {}).get(p, 0) for a in answers))


def words(info: Importances) -> Words:
    some = any(a.shares for a in info.answers)
    reasons = list(dict.fromkeys(a.reason for a in info.answers if a.reason))
    counts = (
        f"From {count(info.n_complete, 'complete trial')}; {info.n_stopped} stopped, "
        f"{info.n_diverged} diverged and {info.n_failed} failed are not seen by it."
    )
    return Words(
        lead=(counts, *(reasons if some else ())),
        missing=None if some else " ".join(reasons) or "No objective to explain.",
        reading=(
            "A share has no sign and no interval: it says how much a parameter matters in the range "
            "searched, not in which direction, and with few trials it is rough. Where the two methods "
            "disagree, believe neither."
        ),
        table=_table(info) if some else None,
        picture="Bars with the share of importance of each parameter for each objective",
    )


def _table(info: Importances) -> Table:
    rows = [
        (OBJECTIVE_NAMES[a.objective], a.method, str(a.n), _best_share(a), name, f"{100 * share:.1f}")
        for a in info.answers
        for name, share in sorted((a.shares or {}).items(), key=lambda item: -item[1])
    ]
    return Table(
        caption="Importance by objective, method and parameter",
        header=("objective", "method", "trials", "best trials, %", "parameter", "share, %"),
        rows=tuple(rows),
    )


def _best_share(answer: Importance) -> str:
    return "" if answer.best_share is None else f"{100 * answer.best_share:.0f}"
