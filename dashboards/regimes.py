"""Regimes: where the factor that a factorial design asks about does something, against each of its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.paired import add_differences, difference_text, p_cell
from dashboards.panels import panels
from dashboards.units import count, listed, p_text
from reprtune.analysis.factor_runs import FactorRuns, factor_runs
from reprtune.analysis.factorial import factorial
from reprtune.analysis.regimes import Asked, InRegimes, asked
from reprtune.analysis.variance import Term
from reprtune.record.schema import StudyRecord

TITLE = "Regimes"
ABOUT = "regimes"
ALL = "all regimes"
ROW_HEIGHT = 34  # px
READING = (
    "Above in each panel: the mean error over all regimes with the level that is asked about minus that with its control, "
    "paired by seed, in percentage points; left of 0 the level that is asked about is better. Below it the same over "
    "those regimes that have one level of one other factor. Intervals are paired t intervals over seeds, given this split "
    "of the data, and not corrected; p is corrected by Holm's rule over all that is compared of a kind: over all regimes, by one "
    "level, in each regime. Whether what it does depends on another factor is the interaction in the analysis of "
    "variance (page Factors), corrected there over all terms. Not shown is not the same as no effect; of single regimes "
    "little can be seen with few seeds."
)


@dataclass(frozen=True, kw_only=True)
class RegimesInfo:
    """Of the first design that asks about a factor. `depends`: interactions of that factor that are shown."""

    runs: FactorRuns | None = None
    found: Asked | None = None
    depends: tuple[Term, ...] = ()


def info(record: StudyRecord) -> RegimesInfo:
    for runs in factor_runs(record):
        if (found := asked(runs)) is not None:
            whole = factorial(
                runs.runs, runs.factors, measured_on=runs.measured_on, aliased=runs.aliased, cells=runs.cells
            )
            pairs = tuple(t for t in whole.shown if len(t.factors) == 2 and found.factor in t.factors)
            return RegimesInfo(runs=runs, found=found, depends=pairs)
    return RegimesInfo()


def figure(info: RegimesInfo) -> go.Figure:
    """A panel for each control: over all regimes, then by each level."""
    found = info.found
    controls = list(dict.fromkeys(one.control for one in found.overall)) if found else []
    if found is None or not controls:
        return go.Figure()
    of = {
        control: [one for one in (*found.overall, *found.by_level) if one.control == control]
        for control in controls
    }
    titles = [[theme.text(f"{found.first} \N{MINUS SIGN} {control}, points")] for control in controls]
    fig = panels(titles, [ROW_HEIGHT * max(2, len(rows)) for rows in of.values()])
    for i, rows in enumerate(of.values(), 1):
        shown = [(one.name or ALL, d) for one in rows if (d := one.comparison.judged) is not None]
        add_differences(fig, shown, row=i)
        fig.update_yaxes(autorange="reversed", type="category", row=i, col=1)
    fig.update_traces(showlegend=False, selector=lambda trace: trace.xaxis not in (None, "x"))
    return fig


# -- words ------------------------------------------------------------------------------------------


def words(info: RegimesInfo) -> Words:
    if info.runs is None or info.found is None:
        return Words(missing="The study has no factorial design that asks about one factor.")
    found = info.found
    return Words(
        lead=sentences(info),
        missing=f"Nothing can be told: {found.why_not.value}." if found.why_not else None,
        reading=READING,
        table=_table(found) if found.overall else None,
        picture="Differences to each control over all regimes and by each level of the other factors",
    )


def sentences(info: RegimesInfo) -> tuple[str, ...]:
    """The finding first: over all regimes, what it depends on, by which levels and in which regimes it is shown."""
    runs, found = info.runs, info.found
    if runs is None or found is None or found.why_not:
        return ()
    if runs.left:
        return (
            f"{count(runs.left, 'run')} of {runs.section} left: no regime is named before all are finished.",
        )
    said = [_overall(found, one) for one in found.overall]
    said += [_depends(info), _by_level(found), _each(found)]
    if runs.n_diverged:
        said.append(f"{count(runs.n_diverged, 'run')} diverged: counted with the error of chance.")
    return tuple(said)


def _overall(found: Asked, one: InRegimes) -> str:
    numbers = f"{difference_text(one.comparison.judged)} points over {count(found.n_regimes, 'regime')}"
    return f"{found.first} {_verb(one)} {one.control}: {numbers}, {count(found.n_seeds, 'seed')}{_p(one)}."


def _verb(one: InRegimes) -> str:
    d = one.comparison.judged
    if not one.comparison.is_shown or d is None:
        return "is not shown to differ from"
    return "does better than" if d.mean < 0 else "does worse than"


def _p(one: InRegimes) -> str:
    p = one.comparison.p_holm
    return "" if p is None else f" ({p_text(p)} corrected)"


def _depends(info: RegimesInfo) -> str:
    assert info.found is not None
    assert info.runs is not None
    factor = info.found.factor
    if not info.depends:
        others = [name for name in info.runs.factors if name != factor]
        return f"What {factor} does is not shown to depend on {' or '.join(others)}."
    of = [
        f"{next(f for f in term.factors if f != factor)} ({p_text(term.p_holm or 0)} corrected)"
        for term in info.depends
    ]
    return f"What {factor} does depends on {listed(of)}."


def _by_level(found: Asked) -> str:
    """By which levels it is shown to do better, or worse."""
    shown = [one for one in found.by_level if one.comparison.is_shown]
    if not shown:
        return f"By single levels nothing is shown: {count(len(found.by_level), 'difference')} compared."
    return "By single levels " + _named(found, shown) + "."


def _named(found: Asked, shown: Sequence[InRegimes]) -> str:
    """`repr does better than standard with noise 40 (-1.2 [...]), and worse with ...`"""
    said = []
    for verb in ("does better than", "does worse than"):
        for control in dict.fromkeys(one.control for one in shown):
            of = [one for one in shown if one.control == control and _verb(one) == verb]
            if of:
                with_ = listed([f"{one.name} ({difference_text(one.comparison.judged)})" for one in of])
                said.append(f"{found.first} {verb} {control} with {with_}")
    return "; ".join(said)


def _each(found: Asked) -> str:
    """Of single regimes how many lean which way, and which are shown."""
    controls = dict.fromkeys(one.control for one in found.each)
    leaning = [
        f"{sum(d.mean < 0 for one in found.each if one.control == control and (d := one.comparison.judged))} against {control}"
        for control in controls
    ]
    shown = [one for one in found.each if one.comparison.is_shown]
    told = f"; shown, corrected for all: {_named(found, shown)}" if shown else "; none is shown by itself"
    return f"Its mean error is lower in {listed(leaning)} of {count(found.n_regimes, 'single regime')}{told}."


def _table(found: Asked) -> Table:
    rows = [
        (
            one.name or ALL, one.control, difference_text(one.comparison.judged), p_cell(one.comparison.p),
            p_cell(one.comparison.p_holm), "" if one.comparison.better is None else f"{one.comparison.better:.2f}",
        )
        for one in (*found.overall, *found.by_level, *found.each)
    ]  # fmt: skip
    return Table(
        caption=f"{found.first} minus its controls: over all regimes, by one level, and in each; points, with 95 % intervals",
        header=("regimes", "against", "difference", "p", "p, corrected", "share of seeds better"),
        rows=tuple(rows),
    )
