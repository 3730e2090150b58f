"""Every comparison of the arms in one picture: what is shown to help, what to harm, and what is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.effect_words import corrections, findings, reading
from dashboards.labels import wrapped
from dashboards.page import Table, Words
from dashboards.paired import around_zero, difference_text, p_cell
from dashboards.tuned_words import how
from dashboards.units import count, points
from reprtune.analysis.decisions import Verdict
from reprtune.analysis.effects import Effect, effects
from reprtune.record.schema import StudyRecord

TITLE = "Effects"
ABOUT = "arms"
SPACE, LINE = 18, 14  # px, of a row and of each line of its label
ARROWS = ("\N{LEFTWARDS ARROW}", "\N{RIGHTWARDS ARROW}")
LOOKS = {  # colour, symbol; filled where something is shown
    Verdict.HELPS: (theme.GREEN, "diamond"),
    Verdict.HARMS: (theme.VERMILLION, "square"),
    Verdict.NOT_SHOWN: (theme.GREY, "circle-open"),
    Verdict.OPEN: (theme.ORANGE, "x-thin-open"),
    Verdict.EXPLORED: (theme.SKY, "triangle-up-open"),
}
LONG = {
    Verdict.HELPS: "shown to help",
    Verdict.HARMS: "shown to harm",
    Verdict.NOT_SHOWN: "not shown to do either",
    Verdict.OPEN: "not decided yet",
    Verdict.EXPLORED: "explored, no verdict",
}
SHORT = {
    Verdict.HELPS: "helps",
    Verdict.HARMS: "harms",
    Verdict.NOT_SHOWN: "not shown",
    Verdict.OPEN: "open",
    Verdict.EXPLORED: "explored",
}


@dataclass(frozen=True, kw_only=True)
class EffectsInfo:
    """`tuned`: how the arms were tuned before, a sentence for each section."""

    effects: tuple[Effect, ...]
    tuned: tuple[str, ...] = ()


def info(record: StudyRecord) -> EffectsInfo:
    return EffectsInfo(effects=effects(record), tuned=how(record))


def figure(info: EffectsInfo) -> go.Figure:
    """A forest: a row for each comparison, its group above it in bold."""
    rows = _rows(info.effects)
    labels = [_label(row) for row in rows]
    heights = [SPACE + LINE * (1 + label.count("<br>")) for label in labels]
    places = [sum(heights[:i]) + h / 2 for i, h in enumerate(heights)]
    shown = [
        (y, one)
        for y, one in zip(places, rows, strict=True)
        if isinstance(one, Effect) and one.comparison.judged
    ]
    fig = theme.figure(130 + max(100, sum(heights)))
    _add_seeds(fig, shown)
    for verdict in Verdict:
        _add_means(fig, verdict, [(y, one) for y, one in shown if one.verdict is verdict])
    fig.add_vline(x=0, line={"color": theme.GREY, "width": 1.5, "dash": "dot"})
    fig.update_xaxes(title_text="difference of error, points<br>(left of 0 the arm is better)")
    _set_range(fig, shown)
    fig.update_yaxes(tickvals=places, ticktext=labels, range=[max(100, sum(heights)), 0], showgrid=False)
    return fig


def _set_range(fig: go.Figure, shown: Sequence[tuple[float, Effect]]) -> None:
    """One that holds every comparison of complete runs: chance error for one diverged run would squeeze all others into
    a point. What lies outside is written at the edge."""
    drawn = [d for _, one in shown if (d := one.comparison.difference or one.comparison.judged)]
    if not drawn:
        return
    low, high = around_zero(drawn)
    fig.update_xaxes(range=[low, high])
    for y, one in shown:
        mean = 100 * (one.size or 0.0)
        if low <= mean <= high:
            continue
        right = mean > high
        n = one.diverged.n + one.control_diverged.n
        fig.add_annotation(
            x=1 if right else 0, xref="x domain", y=y, showarrow=False, xanchor="right" if right else "left",
            text=f"{'' if right else ARROWS[0] + ' '}{points(one.size or 0.0)}, {count(n, 'run')} diverged{' ' + ARROWS[1] if right else ''}",
            font={"size": 11}, yshift=9,
        )  # fmt: skip


def _rows(found: Sequence[Effect]) -> list[Effect | str]:
    """Comparisons, and before those of each group its name."""
    rows: list[Effect | str] = []
    for group in dict.fromkeys((one.group, one.is_whole) for one in found):
        rows.append(f"{group[0]} against" if group[1] else f"against {group[0]}")
        rows += [one for one in found if (one.group, one.is_whole) == group]
    return rows


def _label(row: Effect | str) -> str:
    return wrapped(row.row) if isinstance(row, Effect) else f"<b>{wrapped(row)}</b>"


def _add_seeds(fig: go.Figure, shown: Sequence[tuple[float, Effect]]) -> None:
    pairs = [(i, one, p) for i, one in shown if one.comparison.judged for p in one.comparison.judged.pairs]
    fig.add_scatter(
        x=[100 * p.value for *_, p in pairs], y=[i for i, *_ in pairs], mode="markers", name="one seed",
        marker={"symbol": "circle", "size": 6, "color": theme.GREY, "opacity": 0.55},
        hovertext=[f"{_pair(one)}, seed {p.seed}: {points(p.value)}" for _, one, p in pairs], hoverinfo="text",
        legendrank=2000,
    )  # fmt: skip


def _add_means(fig: go.Figure, verdict: Verdict, shown: Sequence[tuple[float, Effect]]) -> None:
    if not shown:
        return
    colour, symbol = LOOKS[verdict]
    judged = [(i, one, d) for i, one in shown if (d := one.comparison.judged)]
    fig.add_scatter(
        x=[100 * d.mean for *_, d in judged], y=[i for i, *_ in judged], mode="markers", name=LONG[verdict],
        marker={"symbol": symbol, "size": 12, "color": colour, "line": {"width": 2, "color": colour}},
        error_x={
            "type": "data", "array": [100 * (d.high - d.mean) if d.high is not None else 0 for *_, d in judged],
            "color": colour, "thickness": 2, "width": 5,
        },
        hovertext=[f"{_pair(one)}<br>{difference_text(d)}, {LONG[one.verdict]}" for _, one, d in judged],
        hoverinfo="text",
    )  # fmt: skip


def _pair(one: Effect) -> str:
    return f"{theme.text(one.arm)} \N{MINUS SIGN} {theme.text(one.control)}"


def words(info: EffectsInfo) -> Words:
    n = len(info.effects)
    missing = None
    if n == 0:
        missing = "No arm of the study is compared with another one, so there is no effect to show."
    elif n == 1:
        missing = "The study has one comparison, which the page of decisions tells; several are drawn here."
    elif not any(one.comparison.judged for one in info.effects):
        missing = "No two runs with the same seed are complete yet."
    return Words(
        lead=(*findings(info.effects), *info.tuned),
        missing=missing,
        reading=reading(info.effects) if missing is None else "",
        table=table(info.effects) if n else None,
        picture=f"Forest plot of {n} comparisons: mean differences with 95 % intervals and every seed",
    )


def table(found: Sequence[Effect]) -> Table:
    """What a paper needs of each comparison; effects.csv has the rest."""
    diverged = any(one.diverged.n or one.control_diverged.n for one in found)
    equal = any(one.equivalence for one in found)
    parts = " or ".join(dict.fromkeys(one.comparison.measured_on for one in found if one.comparison.judged))
    return Table(
        caption=f"Differences of {parts or 'test'} error in percentage points, paired by seed, with 95 % intervals over seeds",
        note=_note(found, parts, diverged=diverged),
        header=(
            "arm", "against", "seeds", "difference, points", "p", "better", "d_z", "least", "verdict",
            *(("within margin",) if equal else ()), *(("without diverged", "diverged") if diverged else ()),
        ),
        rows=tuple(
            (
                one.arm, one.control, str(one.n), difference_text(one.comparison.judged), p_cell(one.comparison.p_holm),
                _number(one.comparison.better), _number(one.comparison.effect), _points(one.smallest), SHORT[one.verdict],
                *((_equal(one),) if equal else ()), *((_without(one), _rates(one)) if diverged else ()),
            )
            for one in found
        ),
        fits=True,
    )  # fmt: skip


def _equal(one: Effect) -> str:
    """Whether it is shown to be within the study's margin."""
    return "" if one.equivalence is None else "shown" if one.equivalence.is_shown else "not shown"


def _note(found: Sequence[Effect], parts: str, *, diverged: bool) -> str:
    own = max((one.sampling for one in found if one.sampling is not None), default=None)
    images = (
        f" The {parts} images alone leave a standard error of up to {100 * own:.2f} points in one error."
        if own is not None
        else ""
    )
    chance = (
        " Diverged runs count with chance error; then the difference without them, and how many of the runs of both diverged."
        if diverged
        else ""
    )
    return (
        f"p: of the paired t test{corrections(found)}. Better: share of seeds with a lower error. d_z: mean over standard deviation of the "
        f"differences. Least: the smallest difference that these seeds show in four of five studies.{chance}{images}"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _without(one: Effect) -> str:
    """The difference of complete runs alone, where it is another."""
    return difference_text(one.comparison.difference) if one.comparison.with_chance else ""


def _rates(one: Effect) -> str:
    return f"{one.diverged.n}/{one.diverged.of}, {one.control_diverged.n}/{one.control_diverged.of}"
