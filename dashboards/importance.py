"""How much each searched parameter matters, per objective, how sure that is, and in which direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.units import count, signed, value_text
from reprtune.analysis.importance import METHODS, Importance, Importances, importances
from reprtune.analysis.trends import Level, Trend, trends
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.space import Range

TITLE = "Which parameter matters"
ABOUT = "search"
LOOKS = {
    "ped-anova": ("PED-ANOVA: sets the best apart", theme.BLUE),
    "fanova": ("fANOVA: explains variance", theme.ORANGE),
}
UP, DOWN = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"


@dataclass(frozen=True, kw_only=True)
class ImportanceInfo:
    """`trends` without their curves. `params`: what was searched, so that all can be computed again."""

    importances: Importances
    trends: tuple[Trend, ...]
    params: Mapping[str, Range]


def info(record: StudyRecord) -> ImportanceInfo:
    return ImportanceInfo(
        importances=importances(record),
        trends=tuple(replace(t, curve=()) for t in trends(record)),
        params=record.spec.params,
    )


def figure(info: ImportanceInfo) -> go.Figure:
    """One panel per objective, one pair of bars with ranges per parameter, largest first."""
    answers = [a for a in info.importances.answers if a.shares]
    objectives = list(dict.fromkeys(a.objective for a in answers))
    n_params = max((len(a.shares or {}) for a in answers), default=1)
    titles = [[f"share for {OBJECTIVES[o].title}, %"] for o in objectives]
    fig = panels(titles, [40 + 44 * n_params] * len(titles))
    shown: set[str] = set()
    for answer in answers:
        row = objectives.index(answer.objective) + 1
        order = _order([a for a in answers if a.objective == answer.objective])
        fig.add_trace(_bars(answer, order, info, answer.method not in shown), row=row, col=1)
        shown.add(answer.method)
    fig.update_layout(barmode="group")
    fig.update_xaxes(rangemode="tozero")
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return fig


def _bars(answer: Importance, order: list[str], info: ImportanceInfo, in_legend: bool) -> go.Bar:
    name, colour = LOOKS[answer.method]
    shares = answer.shares or {}
    known = [p for p in order if p in shares]
    return go.Bar(
        y=[_label(info, answer.objective, p) for p in known],
        x=[100 * shares[p] for p in known],
        error_x=_whiskers(answer, known),
        name=name,
        legendgroup=answer.method,
        showlegend=in_legend,
        orientation="h",
        marker_color=colour,
        hovertext=[f"{theme.text(p)}: {_share(answer, p)} % ({answer.method})" for p in known],
        hoverinfo="text",
    )


def _whiskers(answer: Importance, names: list[str]) -> dict[str, Any] | None:
    if not answer.stability:
        return None
    shares = answer.shares or {}
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": theme.GREY,
        "array": [max(0.0, 100 * (answer.stability[p].high - shares[p])) for p in names],
        "arrayminus": [max(0.0, 100 * (shares[p] - answer.stability[p].low)) for p in names],
    }  # fmt: skip


def _label(info: ImportanceInfo, objective: str, name: str) -> str:
    """The name, with a triangle where the objective surely rises or falls with it."""
    rank = _trend(info, objective, name).rank
    sign = {0: "", 1: UP, -1: DOWN}[0 if rank is None else rank.sign]
    return f"{theme.text(name)} {sign}".strip()


def _trend(info: ImportanceInfo, objective: str, name: str) -> Trend:
    return next(t for t in info.trends if (t.objective, t.param) == (objective, name))


def _order(answers: list[Importance]) -> list[str]:
    """Parameters by their largest share."""
    names = {name for a in answers for name in a.shares or {}}
    return sorted(names, key=lambda p: (-max((a.shares or {}).get(p, 0) for a in answers), p))


def words(info: ImportanceInfo) -> Words:
    found = info.importances
    some = [a for a in found.answers if a.shares]
    reasons = list(dict.fromkeys(a.reason for a in found.answers if a.reason))
    left_out = list(dict.fromkeys(text for a in some for text in a.left_out.values()))
    counts = (
        f"From {count(found.n_complete, 'complete trial')}; {found.n_stopped} stopped, "
        f"{found.n_diverged} diverged and {found.n_failed} failed are not seen by it."
    )
    return Words(
        lead=(counts, *((*_how(some), *reasons, *left_out) if some else ())),
        missing=None if some else " ".join(reasons) or "No objective to explain.",
        reading=(
            "An importance is no effect: a share says how much a parameter matters in the range searched, not "
            "what it does. Whiskers hold 5 to 95 % of the answers from random halves of the trials; where they "
            "overlap, the order of two parameters is not known, and where the two methods disagree, believe "
            f"neither. {UP} the objective rises with the parameter, {DOWN} it falls, given what the "
            "other parameters do alone (partial rank correlation, p below 0.05 after Holm's correction over the "
            "parameters of the objective). The change is given them too; levels of a choice are compared as they are."
        ),
        table=_table(info) if some else None,
        picture="Bars with the share of importance of each parameter for each objective",
    )


def _how(answers: list[Importance]) -> list[str]:
    """How many trials, best trials and halves stand behind each method's bars."""
    said = []
    for a in answers:
        best = f", the best {100 * a.best_share:.0f} % against all" if a.best_share is not None else ""
        halves = f", range from {a.n_halves} random parts of {a.half}" if a.stability else ", no range"
        said.append(f"{LOOKS[a.method][0].partition(':')[0]} of {count(a.n, 'trial')}{best}{halves}.")
    return [" ".join(dict.fromkeys(said))]


def _table(info: ImportanceInfo) -> Table:
    rows = []
    for objective in dict.fromkeys(a.objective for a in info.importances.answers if a.shares):
        answers = {a.method: a for a in info.importances.answers if a.objective == objective}
        for name in _order(list(answers.values())):
            cells = [cell for m in METHODS for cell in (_share(answers[m], name), _rank(answers[m], name))]
            rows.append((OBJECTIVES[objective].title, name, *cells, *_direction(info, objective, name)))
    return Table(
        caption="Importance and direction by objective and parameter; ranges over halves, intervals of 95 %",
        header=(
            "objective", "parameter", "PED-ANOVA, %", "its rank", "fANOVA, %", "its rank",
            "rank correlation given the others", "its p, Holm",
            "change from lowest to highest, or of each level against the mean",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _share(answer: Importance, name: str) -> str:
    if name not in (answer.shares or {}):
        return ""
    text = f"{100 * (answer.shares or {})[name]:.1f}"
    s = answer.stability.get(name)
    return text if s is None else f"{text} [{100 * s.low:.1f}, {100 * s.high:.1f}]"


def _rank(answer: Importance, name: str) -> str:
    s = answer.stability.get(name)
    return "" if s is None else f"{s.rank_low:.0f} to {s.rank_high:.0f}"


def _direction(info: ImportanceInfo, objective: str, name: str) -> tuple[str, str, str]:
    trend = _trend(info, objective, name)
    if trend.rank is None:
        return trend.no_rank or "", "", "; ".join(_level(objective, level) for level in trend.levels)
    r = trend.rank
    change = "" if r.change is None else signed(objective, r.change)
    if r.change is not None and r.change_low is not None and r.change_high is not None:
        change += f" [{signed(objective, r.change_low)}, {signed(objective, r.change_high)}]"
    rho = f"{r.rho:+.2f} [{r.low:+.2f}, {r.high:+.2f}], alone {r.plain:+.2f}"
    return rho.replace("-", "\N{MINUS SIGN}"), f"{r.p_holm:.2g}", change


def _level(objective: str, level: Level) -> str:
    text = f"{value_text(level.value)} (n = {level.n}) {signed(objective, level.to_all)}"
    if level.to_all_low is None or level.to_all_high is None:
        return text
    return f"{text} [{signed(objective, level.to_all_low)}, {signed(objective, level.to_all_high)}]"
