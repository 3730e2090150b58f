"""Arms, beside a search its controls: every one with its seeds, and its paired difference to standard training."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.arms import arm_words
from dashboards.page import Table, Words
from dashboards.paired import (
    SEEN,
    Errors,
    add_differences,
    add_errors,
    difference_text,
    needed_text,
    smallest_text,
)
from dashboards.panels import panels
from dashboards.units import count, percent, points, significant
from reprtune.analysis.controls import ArmSummary, arm_summaries
from reprtune.analysis.luck import BestOfSearch, best_of_search
from reprtune.analysis.power import needed, smallest
from reprtune.record.labels import slot_label
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import SIZES

TITLE = "Controls"
ABOUT = "study"  # also where there are no arms: it says what is missing then
SEARCH = "best of search"
BEST_READING = (
    " The best of the search was selected on this very validation part and stands here only for orientation."
)


@dataclass(frozen=True, kw_only=True)
class ControlsInfo:
    """`word`: what its arms are called; `title` of the page."""

    arms: tuple[ArmSummary, ...]
    best: BestOfSearch | None
    word: str
    title: str
    searched: bool


def info(record: StudyRecord) -> ControlsInfo:
    called = arm_words(record.spec)
    return ControlsInfo(
        arms=tuple(arm_summaries(record)),
        best=best_of_search(record),
        word=called.one,
        title=called.title,
        searched=record.spec.search is not None,
    )


def figure(info: ControlsInfo) -> go.Figure:
    """Above, errors per seed with their mean; below, differences to standard with their intervals."""
    others = _has_other_controls(info)
    compared = [
        (f"{a.arm} - {one.control}" if others else a.arm, one.difference)
        for a in info.arms
        for one in a.against
        if one.difference
    ]
    titles, heights = [["validation error, %"]], [46 * (len(info.arms) + 1)]
    if compared:
        whose = "that of the arm named last" if others else f"{BASELINE}'s"
        titles.append([f"{_parts(info)} error minus {whose}, points"])
        heights.append(46 * max(2, len(compared)))
    fig = panels(titles, heights)
    _add_errors(fig, info)
    if compared:
        add_differences(fig, compared)
    fig.update_yaxes(autorange="reversed", type="category")
    return fig


def _parts(info: ControlsInfo) -> str:
    """On which part differences are: `test`, `validation`, or both where some have no test error."""
    return " or ".join(
        dict.fromkeys(one.measured_on for a in info.arms for one in a.against if one.difference)
    )


def _has_other_controls(info: ControlsInfo) -> bool:
    """Is any arm compared with another one than standard?"""
    return any(one.control != BASELINE for a in info.arms for one in a.against)


def _add_errors(fig: go.Figure, info: ControlsInfo) -> None:
    add_errors(fig, [Errors(a.arm, a.errors, a.mean) for a in info.arms])
    if info.best and info.best.val_error is not None:
        fig.add_scatter(
            x=[100 * info.best.val_error], y=[SEARCH], mode="markers", name=f"not confirmed, {_seeds(info.best)}",
            marker={"symbol": "circle-open-dot", "size": 12, "color": theme.VERMILLION, "line": {"width": 2}},
            hovertext=[f"{slot_label(info.best.slot)}: {percent(info.best.val_error)}"], hoverinfo="text",
            row=1, col=1,
        )  # fmt: skip


def words(info: ControlsInfo) -> Words:
    missing = None
    if not info.arms:
        missing = "The study has no controls: nothing says what its numbers would be without the method."
    elif not any(a.n for a in info.arms):
        missing = f"No {info.word} is complete yet."
    lead = [f"{count(a.n_diverged, 'run')} of arm {a.arm} diverged." for a in info.arms if a.n_diverged]
    if any(a.n for a in info.arms) and not any(a.n for a in info.arms if a.arm == BASELINE):
        lead.append(f"No run of the arm {BASELINE} is complete, so there is no difference to show.")
    return Words(
        title=info.title,
        short=f"{info.word.capitalize()}s",
        lead=tuple(lead),
        missing=missing,
        reading=(
            f"{_measured(info)}Differences are paired by seed, in percentage points; left of 0 is better than "
            f"{'the arm named last' if _has_other_controls(info) else BASELINE}. The "
            "interval is a paired t interval over seeds, given this split of the data, and not corrected "
            f"for the number of arms; what follows from them, the page of decisions says. {SEEN} The budget factor is the optimizer steps of all networks of a trial, with those "
            "of trials that it began from, relative to standard: compare arms within one."
            + (BEST_READING if info.searched else "")
        ),
        table=_table(info) if info.arms else None,
        picture="Validation error of every arm and seed, and paired differences to standard",
    )


def _measured(info: ControlsInfo) -> str:
    """What errors are of, as a sentence; nothing before there is a difference."""
    parts = _parts(info)
    if parts == "test":
        return "The errors above are of the validation part, the differences of the test part, measured once, at the end. "
    if parts == "validation":
        return "All errors are of the validation part: not every complete run has a test error. "
    return "Differences are of the part that the table names: some runs have no test error. " if parts else ""


def _table(info: ControlsInfo) -> Table:
    sized = _differ_in_size(info)
    rows = [row for arm in info.arms for row in _rows(arm, sized=sized)]
    if info.best and info.best.val_error is not None:
        b = info.best
        to_standard = points(b.to_standard) if b.to_standard is not None else ""
        rows.append(
            (
                f"{SEARCH} ({slot_label(b.slot)}), not confirmed, {_seeds(b)}, selected on the same validation part",
                "1", "0", "0", "0", percent(b.val_error) if b.val_error is not None else "", "", _factor(b.cost_factor), "",
                *("" for _ in SIZES if sized), BASELINE if to_standard else "", "validation" if to_standard else "",
                f"{to_standard} (not paired)" if to_standard else "", "", "", "",
            )
        )  # fmt: skip
    sizes = ("parameters", "GFLOPs per image") if sized else ()
    return Table(
        caption=f"{info.word.capitalize()}s; differences in percentage points of error, with 95 % intervals",
        header=(
            "arm", "complete", "diverged", "failed", "open", "validation error, mean ± sd",
            "test error, mean ± sd", "cost factor", "budget factor", *sizes, "compared with", "measured on", "difference",
            "would have shown, points", "seeds to decide", "with chance error for diverged runs",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _differ_in_size(info: ControlsInfo) -> bool:
    """Do arms leave networks of different sizes?"""
    return len({tuple(arm.sizes.values()) for arm in info.arms if arm.n}) > 1


def _rows(arm: ArmSummary, *, sized: bool) -> list[tuple[str, ...]]:
    """One for each arm that it is compared with; what it is itself stands in the first, its sizes if `sized`."""
    own = (
        str(arm.n), str(arm.n_diverged), str(arm.n_failed), str(arm.n_open), _mean_sd(arm.mean, arm.sd),
        _mean_sd(arm.test_mean, arm.test_sd), _factor(arm.cost_factor), _factor(arm.budget_factor),
        *("" if size is None else significant(size, 4) for size in arm.sizes.values() if sized),
    )  # fmt: skip
    found = [
        (
            one.control + " (explored)" * one.explored, one.measured_on if one.difference else "", difference_text(one.difference),
            smallest_text(smallest(one.judged)), needed_text(needed(one.judged)), difference_text(one.with_chance),
        )
        for one in arm.against
    ] or [("",) * 6]  # fmt: skip
    return [(arm.arm, *(own if i == 0 else [""] * len(own)), *cells) for i, cells in enumerate(found)]


def _seeds(best: BestOfSearch) -> str:
    return "one seed" if best.n_seeds == 1 else f"mean of {best.n_seeds} seeds"


def _mean_sd(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return ""
    return f"{100 * mean:.2f} ± {100 * sd:.2f} %" if sd is not None else percent(mean)


def _factor(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
