"""Factors: what each does over all cells of a factorial design, and which act together."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.paired import add_differences, difference_text, p_cell
from dashboards.panels import panels
from dashboards.units import count, listed, p_text, percent, points
from reprtune.analysis.factor_runs import FactorRuns, factor_runs
from reprtune.analysis.factorial import Effect, Factorial, factorial
from reprtune.analysis.variance import Term
from reprtune.record.schema import StudyRecord

TITLE = "Factors"
ABOUT = "factorial"


@dataclass(frozen=True, kw_only=True)
class FactorialInfo:
    """Of the first factorial design of the study; `others`: names of further ones, which are not shown."""

    runs: FactorRuns | None = None
    found: Factorial | None = None
    others: tuple[str, ...] = ()


def info(record: StudyRecord) -> FactorialInfo:
    designs = factor_runs(record)
    if not designs:
        return FactorialInfo()
    one = designs[0]
    found = factorial(
        one.runs, one.factors, measured_on=one.measured_on, aliased=one.aliased, cells=one.cells
    )
    return FactorialInfo(runs=one, found=found, others=tuple(d.section for d in designs[1:]))


def figure(info: FactorialInfo) -> go.Figure:
    """Above, effects of levels with their intervals; below, the two factors that act together most."""
    found = info.found
    shown = [
        (f"{_label(e)}: {e.level} \N{MINUS SIGN} {e.reference}", d)
        for e in (found.effects if found else ())
        if (d := e.comparison.judged) is not None
    ]
    pair = strongest(found) if found and found.cell_means else None
    titles, heights = (
        [["effect, points"]],
        [46 * max(2, len(shown))],
    )
    if pair:
        titles.append([theme.text(pair.factors[0])])
        heights.append(260)
    fig = panels(titles, heights)
    if shown:
        add_differences(fig, shown, row=1)
    fig.update_yaxes(autorange="reversed", type="category", row=1, col=1)
    if found and pair:
        _add_pair(fig, found, pair)
    return fig


def strongest(found: Factorial) -> Term | None:
    """The pair with the smallest p; of equals the first."""
    return min((t for t in found.terms if len(t.factors) == 2), key=lambda t: t.p, default=None)


def _add_pair(fig: go.Figure, found: Factorial, pair: Term) -> None:
    """Mean errors over the levels of one factor, a line for each level of the other: parallel where they only add up."""
    names = list(found.factors)
    i, j = (names.index(f) for f in pair.factors)
    for k, level in enumerate(found.factors[pair.factors[1]]):
        colour, symbol = theme.SERIES[k % len(theme.SERIES)], theme.SYMBOLS[k % len(theme.SYMBOLS)]
        at = {
            x: [m for cell, m in found.cell_means.items() if cell[i] == x and cell[j] == level]
            for x in found.factors[pair.factors[0]]
        }
        means = {x: sum(ms) / len(ms) for x, ms in at.items() if ms}
        name = theme.text(f"{pair.factors[1]}: {level}")
        fig.add_scatter(
            x=[theme.text(x) for x in means], y=[100 * m for m in means.values()], mode="lines+markers", name=name,
            line={"color": colour, "dash": ("solid", "dash", "dot", "dashdot")[k % 4]},
            marker={"symbol": symbol, "size": 10, "color": colour},
            hovertext=[f"{name}, {theme.text(x)}: {percent(m)}" for x, m in means.items()], hoverinfo="text",
            row=2, col=1,
        )  # fmt: skip
    fig.update_xaxes(type="category", row=2, col=1)
    fig.update_yaxes(title_text="error, %", row=2, col=1)


def words(info: FactorialInfo) -> Words:
    if info.runs is None or info.found is None:
        return Words(missing="The study has no factorial design.")
    found, runs = info.found, info.runs
    missing = f"No effect can be told: {found.why_not.value}." if found.why_not else None
    return Words(
        lead=(*_finding(found, runs), *_said(info)),
        missing=missing,
        reading=(
            f"Errors of the {runs.measured_on} part. Above: the mean over all cells with a level minus that over all "
            "cells with the factor's first level, paired by seed, in percentage points; left of 0 the level is better. "
            "Intervals are paired t intervals over seeds, given this split of the data, and not corrected. Below: mean "
            "errors of the two factors with the smallest p together; lines that are parallel mean that they only add up. "
            "An effect is named where p of the analysis of variance, corrected by Holm's rule for its terms, is below 5 %, and "
            "p of the paired differences, corrected alike, too: the first takes every seed as a block, and supposes that "
            "seeds do not change what a factor does. Not shown is not the same as no effect. A term with others in brackets "
            "cannot be told from these in this design."
        ),
        table=_table(found),
        picture="Effects of the levels of every factor with their intervals, and two factors together",
    )


def _finding(found: Factorial, runs: FactorRuns) -> tuple[str, ...]:
    """What is shown, first of all; nothing is named while runs are left."""
    if runs.left:
        return (
            f"{count(runs.left, 'run')} of {runs.section} left: no effect is named before all are finished.",
        )
    if found.why:
        return (f"There is no analysis of variance: {found.why.value}.",)
    leading = next((t for t in found.shown if len(t.factors) == 1), None)
    if leading is None:
        pairs = [t for t in found.shown if len(t.factors) == 2]
        told = (_together(pairs),) if pairs else ()
        return ("No factor is shown to change the error by itself.", *told)
    others = [t for t in found.shown if len(t.factors) == 2 and leading.factors[0] in t.factors]
    how = (
        f"What it does depends on {listed([_other(t, leading) for t in others])}: {_together(others)}"
        if others
        else "It is not shown to depend on another factor."
    )
    return (_leading(found, leading), how)


def _leading(found: Factorial, term: Term) -> str:
    """The largest effect of a factor in words."""
    levels = [e for e in found.effects if e.factor == term.factors[0]]
    numbers = f"{100 * term.share:.0f} % of the variance within seeds, {p_text(term.p_holm or 0)} corrected"
    if not levels:
        return f"{term.label} matters most: {numbers}."
    most = max(levels, key=lambda e: abs(e.mean - e.reference_mean))
    d = most.comparison.judged
    wide = d is not None and d.low is not None and d.high is not None and d.low <= 0 <= d.high
    return (
        f"{term.label} matters most ({numbers}): {most.level} against {most.reference} changes the error by "
        f"{_in_points(most)}, averaged over the other factors."
        + (
            " Its interval over seeds holds 0, so seeds differ in what it does: take it as open."
            if wide
            else ""
        )
    )


def _in_points(effect: Effect) -> str:
    d = effect.comparison.judged
    if d is None or d.low is None or d.high is None:
        return f"{points(effect.mean - effect.reference_mean)} points"
    return f"{points(d.mean)} points ({points(d.low)} to {points(d.high)})"


def _together(terms: list[Term]) -> str:
    """`A and B act together (p = 0.012 corrected).`"""
    return " ".join(
        f"{' and '.join(t.factors)} act together{_aliases(t)} ({p_text(t.p_holm or 0)} corrected)."
        for t in terms
    )


def _aliases(term: Term) -> str:
    return f" (or {listed(term.aliases)})" if term.aliases else ""


def _other(term: Term, leading: Term) -> str:
    return next(f for f in term.factors if f != leading.factors[0])


def _label(effect: Effect) -> str:
    return f"{effect.factor} (+ {' + '.join(effect.aliases)})" if effect.aliases else effect.factor


def _said(info: FactorialInfo) -> list[str]:
    """What was left out, or stands in for something."""
    assert info.runs is not None
    assert info.found is not None
    found, said = info.found, []
    if found.left_out and not found.why_not:
        n = len(found.left_out)
        said.append(f"{count(n, 'seed')} without a run in every cell left out of the effects.")
    if info.runs.n_diverged:
        said.append(f"{count(info.runs.n_diverged, 'run')} diverged: counted with the error of chance.")
    if info.others:
        said.append(
            f"Of the factorial designs, {info.runs.section} is shown here; not {listed(info.others)}."
        )
    return said


def _table(found: Factorial) -> Table | None:
    if not found.terms and not found.effects:
        return None
    terms = tuple(
        (
            t.label, "", str(t.df), f"{1e4 * t.ss:.4g}", f"{t.f:.2f}", p_cell(t.p), p_cell(t.p_holm),
            f"{100 * t.share:.1f} %", f"{t.omega2:.3f}", "",
        )
        for t in found.terms
    )  # fmt: skip
    effects = tuple(
        (
            _label(e), f"{e.level} \N{MINUS SIGN} {e.reference}", "", "", "", p_cell(e.comparison.p), "", "", "",
            difference_text(e.comparison.judged),
        )
        for e in found.effects
    )  # fmt: skip
    together = tuple(
        (
            f"{t.first}:{t.second}", "difference of differences", "", "", "", p_cell(t.comparison.p), "", "", "",
            difference_text(t.comparison.judged),
        )
        for t in found.together
    )  # fmt: skip
    return Table(
        caption="Analysis of variance with seeds as blocks; then effects paired by seed, in points, with 95 % intervals",
        header=(
            "term", "levels", "df", "sum of squares, points²", "F", "p", "p, corrected", "share of variance",
            "partial omega²", "difference",
        ),
        rows=terms + effects + together,
    )  # fmt: skip
