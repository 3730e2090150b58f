"""How much each searched parameter matters, per objective, whether it does at all, and in which direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.units import count, listed, signed, value_text
from reprtune.analysis.evaluators import METHODS
from reprtune.analysis.importance import BEST_SHARE, Importance, Importances, importances
from reprtune.analysis.level import ALPHA
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
PALE = 0.35
FANOVA_WHOLE, FANOVA_STOPPED = 0.92, 0.78  # as measured by `python -m benchmarks.truth importance`
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
    """One panel per objective, one pair of bars with ranges per parameter, largest first; pale where chance would do."""
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
        marker={"color": colour, "opacity": [1.0 if p in answer.shown else PALE for p in known]},
        hovertext=[
            f"{theme.text(p)}: {_share(answer, p)} % ({answer.method}, p {_p(answer, p)})" for p in known
        ],
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
    return Words(
        lead=(
            *_verdicts(some),
            _counts(found),
            *((*_how(some), *reasons, *left_out, *_elsewhere(some)) if some else ()),
        ),
        missing=None if some else " ".join(reasons) or "No objective to explain.",
        reading=(
            "An importance is no effect: a share says how much a parameter matters in the range searched, not "
            "what it does. Pale bars may be chance: p is how often outcomes exchanged among "
            "the trials make some parameter stand out as much, of all parameters and both methods together. "
            "Whiskers are 90 % ranges over other trials of the same study; where they "
            "overlap, the order of two parameters is not known, and where the two methods disagree, believe "
            f"neither. Where draws must fit the total length, one parameter may be shown to matter for another. {UP} the "
            f"objective rises with the parameter, {DOWN} it falls, given what the other parameters do alone (partial rank "
            "correlation, p below 0.05 after Holm's correction over the parameters of the objective). The change is given "
            "them too; levels of a choice are compared as they are."
        ),
        table=_table(info) if some else None,
        picture="Bars with the share of importance of each parameter for each objective",
    )


def _verdicts(answers: list[Importance]) -> list[str]:
    """For each objective, which parameters are shown to matter."""
    objectives = dict.fromkeys(a.objective for a in answers)
    return [_verdict(o, [a for a in answers if a.objective == o]) for o in objectives]


def _verdict(objective: str, answers: list[Importance]) -> str:
    title = OBJECTIVES[objective].title
    shown = [name for name in _order(answers) if any(name in a.shown for a in answers)]
    if not shown:
        least = min((p for a in answers for p in a.p.values()), default=1.0)
        return f"For the {title} no parameter is shown to matter (smallest p {least:.2f}); the order of the bars may be chance."
    said = listed([_shown(name, answers) for name in shown])
    rest = [name for name in _order(answers) if name not in shown]
    return f"For the {title} {said}." + (f" Not shown to matter: {listed(rest)}." if rest else "")


def _shown(name: str, answers: list[Importance]) -> str:
    """That a parameter matters, by which method; it leads where no share of that method is larger."""
    by = [a for a in answers if name in a.shown]
    does = "leads" if any(a.first == name for a in by) else "is shown to matter"
    return f"{name} {does} ({listed([_method(a) for a in by])}, p below {ALPHA})"


def _method(answer: Importance) -> str:
    return LOOKS[answer.method][0].partition(":")[0]


def _counts(found: Importances) -> str:
    """What the methods see of the study."""
    text = f"From {count(found.n_complete, 'complete trial')}"
    worse = max((a.n_worse for a in found.answers if a.shares), default=0)
    if not worse:
        return (
            f"{text}; {found.n_stopped} stopped, {found.n_diverged} diverged and {found.n_failed} failed "
            "are not seen by it."
        )
    return (
        f"{text}, and {worse} stopped or diverged, which PED-ANOVA of the error ranks below them. All else sees complete "
        "trials only, and so too little of what the stop rule has sorted by: on made-up studies where only "
        f"prune_ratio matters and half are stopped by their error, its fANOVA share fell from {FANOVA_WHOLE:.0%} to "
        f"{FANOVA_STOPPED:.0%}. {found.n_failed} failed are not seen."
    ).replace("%", " %")


def _elsewhere(answers: list[Importance]) -> list[str]:
    """Where optuna-dashboard may say something else, what it does."""
    said = []
    for a in answers:
        if a.best_share is None or (a.best_share == BEST_SHARE and not a.n_worse):
            continue
        best, default = (
            math.ceil(round(share * n, 9))
            for share, n in ((a.best_share, a.n + a.n_worse), (BEST_SHARE, a.n))
        )
        where = (
            f"optuna-dashboard puts {a.elsewhere} first"
            if a.elsewhere
            else "optuna-dashboard has other shares"
        )
        all_ = f"all {a.n + a.n_worse}" if a.n_worse else "all"
        said.append(
            f"For the {OBJECTIVES[a.objective].title} {where}: it holds the best {default} of {a.n} complete trials against "
            f"these, and this page the best {best} against {all_}."
        )
    return said


def _how(answers: list[Importance]) -> list[str]:
    """How many trials, best trials and halves stand behind each method's bars."""
    said = []
    for a in answers:
        best = f", the best {100 * a.best_share:.0f} % against all" if a.best_share is not None else ""
        halves = f", range from {a.n_halves} random parts of {a.half}" if a.stability else ", no range"
        said.append(f"{_method(a)} of {count(a.n + a.n_worse, 'trial')}{best}{halves}.")
    return [" ".join(dict.fromkeys(said))]


def _table(info: ImportanceInfo) -> Table:
    rows = []
    for objective in dict.fromkeys(a.objective for a in info.importances.answers if a.shares):
        answers = {a.method: a for a in info.importances.answers if a.objective == objective}
        for name in _order(list(answers.values())):
            cells = [cell for m in METHODS for cell in _cells(answers[m], name)]
            rows.append((OBJECTIVES[objective].title, name, *cells, *_direction(info, objective, name)))
    return Table(
        caption="Importance and direction by objective and parameter; ranges of 90 %, intervals of 95 %",
        header=(
            "objective", "parameter", "PED-ANOVA, %", "its rank", "its p", "fANOVA, %", "its rank", "its p",
            "rank correlation given the others", "its p, Holm",
            "change from lowest to highest, or of each level against the mean",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _cells(answer: Importance, name: str) -> tuple[str, str, str]:
    return _share(answer, name), _rank(answer, name), _p(answer, name)


def _p(answer: Importance, name: str) -> str:
    return f"{answer.p[name]:.3f}" if name in answer.p else ""


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
