"""The controls: every arm with its seeds, and its paired difference to standard training."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.units import count, percent, points
from reprtune.analysis.controls import (
    BASELINE,
    ArmSummary,
    BestOfSearch,
    Difference,
    arm_summaries,
    best_of_search,
)
from reprtune.record.schema import StudyRecord

TITLE = "Controls"
SEARCH = "best of search"


@dataclass(frozen=True, kw_only=True)
class ControlsInfo:
    arms: tuple[ArmSummary, ...]
    best: BestOfSearch | None


def info(record: StudyRecord) -> ControlsInfo:
    return ControlsInfo(arms=tuple(arm_summaries(record)), best=best_of_search(record))


def figure(info: ControlsInfo) -> go.Figure:
    """Above, errors per seed with their mean; below, differences to standard with their intervals."""
    compared = [a for a in info.arms if a.difference]
    titles, heights = [["validation error, %"]], [46 * (len(info.arms) + 1)]
    if compared:
        titles.append([f"error minus {BASELINE}'s, points"])
        heights.append(46 * max(2, len(compared)))
    fig = panels(titles, heights)
    _add_errors(fig, info)
    if compared:
        _add_differences(fig, compared)
        fig.add_vline(x=0, line={"color": theme.GREY, "width": 1.5, "dash": "dot"}, row=2, col=1)
    fig.update_yaxes(autorange="reversed", type="category")
    return fig


def _add_errors(fig: go.Figure, info: ControlsInfo) -> None:
    for i, arm in enumerate(info.arms):
        colour, symbol = theme.arm_look(i)
        name = theme.text(arm.arm)
        fig.add_scatter(
            x=[100 * e.value for e in arm.errors], y=[name] * len(arm.errors),
            mode="markers", showlegend=False,
            marker={"symbol": symbol, "size": 10, "color": colour, "opacity": 0.75},
            hovertext=[f"{name}, seed {e.seed}: {percent(e.value)}" for e in arm.errors], hoverinfo="text",
            row=1, col=1,
        )  # fmt: skip
    known = [a for a in info.arms if a.mean is not None]
    fig.add_scatter(
        x=[100 * (a.mean or 0) for a in known], y=[theme.text(a.arm) for a in known],
        mode="markers", name="mean",
        marker={"symbol": "line-ns-open", "size": 22, "color": theme.BLUE, "line": {"width": 3}},
        hovertext=[f"{theme.text(a.arm)}: mean of {a.n}, {percent(a.mean or 0)}" for a in known],
        hoverinfo="text",
        row=1, col=1,
    )  # fmt: skip
    if info.best:
        fig.add_scatter(
            x=[100 * info.best.val_error], y=[SEARCH], mode="markers", name="not confirmed, one seed",
            marker={"symbol": "circle-open-dot", "size": 12, "color": theme.VERMILLION, "line": {"width": 2}},
            hovertext=[f"trial {info.best.number}: {percent(info.best.val_error)}"], hoverinfo="text",
            row=1, col=1,
        )  # fmt: skip


def _add_differences(fig: go.Figure, arms: list[ArmSummary]) -> None:
    shown = [(theme.text(a.arm), a.difference) for a in arms if a.difference]
    fig.add_scatter(
        x=[100 * p.value for _, d in shown for p in d.pairs], y=[name for name, d in shown for _ in d.pairs],
        mode="markers", name="one seed", marker={"symbol": "circle-open", "size": 8, "color": theme.GREY},
        hovertext=[f"{name}, seed {p.seed}: {points(p.value)}" for name, d in shown for p in d.pairs],
        hoverinfo="text", row=2, col=1,
    )  # fmt: skip
    half = [100 * (d.high - d.mean) if d.high is not None else 0 for _, d in shown]
    fig.add_scatter(
        x=[100 * d.mean for _, d in shown], y=[name for name, _ in shown], mode="markers",
        name="mean difference, 95 % interval", marker={"symbol": "diamond", "size": 11, "color": theme.GREEN},
        error_x={"type": "data", "array": half, "color": theme.GREEN, "thickness": 2, "width": 7},
        hovertext=[f"{name}: {_difference(d)}" for name, d in shown], hoverinfo="text", row=2, col=1,
    )  # fmt: skip
    fig.update_xaxes(range=_around_zero([d for _, d in shown]), row=2, col=1)


def _around_zero(differences: list[Difference]) -> list[float]:
    """A range that holds every seed, every interval and 0, with a little room."""
    ends = [0.0, *(p.value for d in differences for p in d.pairs)]
    ends += [e for d in differences for e in (d.low, d.high) if e is not None]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return [100 * (min(ends) - room), 100 * (max(ends) + room)]


def _difference(d: Difference | None) -> str:
    if d is None:
        return ""
    if d.low is None or d.high is None:
        return f"{points(d.mean)} (n = {d.n}, no interval)"
    return f"{points(d.mean)} [{points(d.low)}, {points(d.high)}]"


def words(info: ControlsInfo) -> Words:
    missing = None
    if not info.arms:
        missing = "The study has no controls: nothing says what its numbers would be without the method."
    elif not any(a.n for a in info.arms):
        missing = "No control is complete yet."
    lead = [f"{count(a.n_diverged, 'run')} of arm {a.arm} diverged." for a in info.arms if a.n_diverged]
    if any(a.n for a in info.arms) and not any(a.n for a in info.arms if a.arm == BASELINE):
        lead.append(f"No run of the arm {BASELINE} is complete, so there is no difference to show.")
    return Words(
        lead=tuple(lead),
        missing=missing,
        reading=(
            "Differences are paired by seed, in percentage points; left of 0 is better than standard. The "
            "interval is a paired t interval over seeds, given this split of the data, and not corrected "
            "for the number of arms. The best of the search was selected on this very validation part and "
            "stands here only for orientation."
        ),
        table=_table(info) if info.arms else None,
        picture="Validation error of every control arm and seed, and paired differences to standard",
    )


def _table(info: ControlsInfo) -> Table:
    rows = [
        (
            a.arm, str(a.n), str(a.n_diverged), str(a.n_failed), str(a.n_open), _mean_sd(a),
            _factor(a.cost_factor), _factor(a.steps_factor), _difference(a.difference),
            _difference(a.with_chance),
        )
        for a in info.arms
    ]  # fmt: skip
    if info.best:
        b = info.best
        to_standard = points(b.to_standard) if b.to_standard is not None else ""
        rows.append(
            (
                f"{SEARCH} (trial {b.number}), not confirmed, one seed, selected on the same validation part",
                "1", "0", "0", "0", percent(b.val_error), _factor(b.cost_factor), "",
                f"{to_standard} (not paired)" if to_standard else "", "",
            )
        )  # fmt: skip
    return Table(
        caption="Control arms; differences to standard in percentage points of error, with 95 % intervals",
        header=(
            "arm", "complete", "diverged", "failed", "open", "validation error, mean ± sd", "cost factor",
            "steps factor", "difference", "with chance error for diverged runs",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _mean_sd(arm: ArmSummary) -> str:
    if arm.mean is None:
        return ""
    return f"{100 * arm.mean:.2f} ± {100 * arm.sd:.2f} %" if arm.sd is not None else percent(arm.mean)


def _factor(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
