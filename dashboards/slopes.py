"""Seed by seed from what an arm is compared with to the arm: whether a difference is one of every seed or of a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.labels import wrapped
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.rules import WORDS
from dashboards.units import count, percent, points
from reprtune.analysis.attempts import deciding
from reprtune.analysis.effects import Effect, effects
from reprtune.analysis.paired import MIN_PAIRS, SeedValue
from reprtune.analysis.runs import chance_error, errors_on_test, errors_on_validation
from reprtune.record.schema import StudyRecord

TITLE = "Seeds"
ABOUT = "arms"
MOST = 6  # panels
COLUMNS = 2
ENDS = ("against", "arm")


@dataclass(frozen=True, kw_only=True)
class Slope:
    """One comparison: the errors of both by seed, of the seeds that both have. Diverged runs have chance error."""

    effect: Effect
    ours: tuple[SeedValue, ...]
    theirs: tuple[SeedValue, ...]

    @property
    def lower(self) -> int:
        """Seeds with which the arm has the lower error."""
        return sum(a.value < b.value for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def all_alike(self) -> bool:
        """Has one of the two the lower error with every seed? Equal errors are no lower ones."""
        higher = sum(a.value > b.value for a, b in zip(self.ours, self.theirs, strict=True))
        return len(self.ours) >= MIN_PAIRS and len(self.ours) in (self.lower, higher)


@dataclass(frozen=True, kw_only=True)
class SlopesInfo:
    """At most `MOST`, the largest difference first, of `n` comparisons with a pair."""

    slopes: tuple[Slope, ...]
    n: int
    n_comparisons: int


def info(record: StudyRecord) -> SlopesInfo:
    found = effects(record)
    largest = sorted((one for one in found if one.size is not None), key=lambda one: -abs(one.size or 0.0))
    return SlopesInfo(
        slopes=tuple(_slope(record, one) for one in largest[:MOST]),
        n=len(largest),
        n_comparisons=len(found),
    )


def _slope(record: StudyRecord, one: Effect) -> Slope:
    read = errors_on_test if one.comparison.measured_on == "test" else errors_on_validation
    chance = chance_error(record) if one.comparison.with_chance else None
    trials = deciding(record.controls)
    ours, theirs = (
        {v.seed: v for v in read([t for t in trials if t.arm == name], chance)}
        for name in (one.arm, one.control)
    )
    seeds = sorted({*ours} & {*theirs})
    return Slope(effect=one, ours=tuple(ours[s] for s in seeds), theirs=tuple(theirs[s] for s in seeds))


def figure(info: SlopesInfo) -> go.Figure:
    """A panel for each comparison, a line for each seed."""
    cells = [info.slopes[i : i + COLUMNS] for i in range(0, len(info.slopes), COLUMNS)]
    titles = [[""] * len(row) for row in cells] or [[""]]
    fig = panels(titles, [210] * len(titles), column_gap=0.16, gap=118)
    for i, row in enumerate(cells, 1):
        for j, slope in enumerate(row, 1):
            _draw(fig, slope, i, j)
    return fig


def _draw(fig: go.Figure, slope: Slope, row: int, column: int) -> None:
    first = row == column == 1
    for ours, theirs in zip(slope.ours, slope.theirs, strict=True):
        falls = ours.value < theirs.value
        colour, dash = (theme.GREEN, "solid") if falls else (theme.VERMILLION, "dash")
        fig.add_scatter(
            x=list(ENDS), y=[100 * theirs.value, 100 * ours.value], mode="lines+markers", showlegend=False,
            line={"color": colour, "width": 1.5, "dash": dash}, marker={"size": 6, "color": colour}, opacity=0.75,
            hovertext=[f"seed {ours.seed}: {percent(v.value)}" for v in (theirs, ours)], hoverinfo="text",
            row=row, col=column,
        )  # fmt: skip
    means = [100 * sum(v.value for v in side) / len(side) for side in (slope.theirs, slope.ours)]
    fig.add_scatter(
        x=list(ENDS), y=means, mode="lines+markers", name="mean", showlegend=first,
        line={"color": theme.BLUE, "width": 4}, marker={"symbol": "diamond", "size": 11, "color": theme.BLUE},
        hovertext=[f"mean: {m:.2f} %" for m in means], hoverinfo="text", row=row, col=column,
    )  # fmt: skip
    title = f"{wrapped(slope.effect.control)} \N{RIGHTWARDS ARROW}<br>{wrapped(slope.effect.arm)}"
    title += "<br>(explored)" * slope.effect.comparison.explored
    fig.update_xaxes(title_text=title, range=[-0.25, 1.25], type="category", row=row, col=column)
    fig.update_yaxes(title_text="error, %" if column == 1 else "", row=row, col=column)


def words(info: SlopesInfo) -> Words:
    missing = None
    if info.n_comparisons < 2:
        missing = (
            "The study compares fewer than two pairs of arms; the page of decisions tells what there is."
        )
    elif not info.slopes:
        missing = "No two runs with the same seed are complete yet."
    return Words(
        lead=_lead(info) if missing is None else (),
        missing=missing,
        reading=(
            "A line is one seed, which gives both the same start and the same batches; the thick line is the mean. Green and solid: "
            "the arm has the lower error with that seed; red and dashed: it has not. Lines that all run alike are a difference of the "
            "arms; lines that cross are spread over seeds. Axes of error differ from panel to panel."
        ),
        table=_table(info.slopes) if info.slopes else None,
        picture=f"Slopes from what an arm is compared with to the arm, a line for each seed, of {count(len(info.slopes), 'comparison')}",
    )


def _lead(info: SlopesInfo) -> tuple[str, ...]:
    shown = info.slopes
    drawn = (
        f"The {len(shown)} largest of {info.n} differences are drawn, whether shown or not."
        if info.n > len(shown)
        else ""
    )
    same = [s for s in shown if s.all_alike]
    chance = _all_alike(shown)
    alike = f"In {len(same)} of {len(shown)} all seeds run the same way{chance}." if shown else ""
    return tuple(text for text in (drawn, alike) if text)


def _all_alike(shown: Sequence[Slope]) -> str:
    """How easily that comes by chance."""
    n = min((len(s.ours) for s in shown), default=0)
    if n < MIN_PAIRS:
        return ""
    return f"; by chance alone {n} seeds do so in one of {2 ** (n - 1):,} comparisons, and the largest of many more often"


def _table(slopes: Sequence[Slope]) -> Table:
    return Table(
        caption="Errors by seed, of the largest differences",
        header=("arm", "against", "seed", "error of that", "error of the arm", "difference, points", "verdict"),
        rows=tuple(
            (
                s.effect.arm, s.effect.control, str(a.seed), percent(b.value), percent(a.value), points(a.value - b.value),
                WORDS[s.effect.verdict],
            )
            for s in slopes
            for a, b in zip(s.ours, s.theirs, strict=True)
        ),
    )  # fmt: skip
