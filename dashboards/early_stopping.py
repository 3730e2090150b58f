"""The account of early stopping: who was stopped and where, what it saved, what it may have cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.panels import panels
from dashboards.units import cost, count, duration, percent, points
from reprtune.analysis.stopping_account import Account, Stopped, account, spread
from reprtune.record.labels import NUMBER, SLOT, slot_label
from reprtune.record.ranking import best
from reprtune.record.schema import StudyRecord

TITLE = "Early stopping: what it saved, what it may have cost"
ABOUT = "search"
MAX_DRAWN = 1000


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A trial at one of its rungs; `error` is a fraction."""

    label: str
    epoch: float
    error: float


@dataclass(frozen=True, kw_only=True)
class StoppingInfo:
    """`complete`: rungs of complete trials, a selection; `best`: the rungs of the best."""

    account: Account
    complete: tuple[Mark, ...]
    best: tuple[Mark, ...]


def info(record: StudyRecord) -> StoppingInfo:
    found, lead = account(record), best(record)
    per = found.steps_per_epoch
    marks = [
        Mark(label=slot_label(t.slot), epoch=step / per, error=error)
        for t in spread(record.complete(), MAX_DRAWN // 2)
        for step, error in t.rungs
    ]
    own = lead.rungs if lead else ()
    return StoppingInfo(
        account=found,
        complete=tuple(marks),
        best=tuple(Mark(label=slot_label(lead.slot), epoch=s / per, error=e) for s, e in own if lead),
    )


def figure(info: StoppingInfo) -> go.Figure:
    """Above, every stop at its step and error; below, what the rule says of complete trials."""
    rungs = info.account.rungs
    titles, heights = [["epoch"]], [340]
    if rungs:
        titles.append(["rung of a complete trial"])
        heights.append(180)
    fig = panels(titles, heights)
    _add(fig, info.complete, "complete, at their rungs", {"color": theme.SKY, "size": 5, "opacity": 0.6})
    per = info.account.steps_per_epoch
    stopped = [
        Mark(label=slot_label(s.slot), epoch=s.step / per, error=s.error)
        for s in spread(info.account.stopped, MAX_DRAWN)
    ]
    look = {"symbol": "triangle-down-open", "color": theme.ORANGE, "size": 9, "line": {"width": 2}}
    _add(fig, stopped, "stopped here", look)
    _add(fig, info.best, "the later best", {"color": theme.BLUE, "size": 9}, mode="lines+markers")
    fig.update_yaxes(title_text="validation error, %", row=1, col=1)
    if rungs:
        _add_replays(fig, info)
    return fig


def _add(
    fig: go.Figure, marks: Sequence[Mark], name: str, marker: dict[str, object], mode: str = "markers"
) -> None:
    if marks:
        fig.add_scatter(
            x=[round(m.epoch, 4) for m in marks], y=[round(100 * m.error, 4) for m in marks], mode=mode,
            name=name, marker=marker, text=[m.label for m in marks],
            hovertemplate="%{text}, epoch %{x:.4g}: %{y:.2f} %<extra></extra>", row=1, col=1,
        )  # fmt: skip


def _add_replays(fig: go.Figure, info: StoppingInfo) -> None:
    for name, field, colour, shape in (
        ("then", "then", theme.PURPLE, "/"), ("now, as the last to come", "now", theme.VERMILLION, ""),
    ):  # fmt: skip
        rungs = info.account.rungs
        shares = [100 * getattr(r, field) / r.judged for r in rungs]
        fig.add_bar(
            x=[str(r.rung) for r in rungs], y=shares, name=f"would be stopped {name}",
            marker={"color": colour, "pattern": {"shape": shape}},
            hovertext=[f"rung {r.rung}: {getattr(r, field)} of {r.judged} ({name})" for r in rungs],
            hoverinfo="text", row=2, col=1,
        )  # fmt: skip
    fig.update_xaxes(type="category", row=2, col=1)
    fig.update_yaxes(title_text="share, %", range=[0, 100], row=2, col=1)


def words(info: StoppingInfo) -> Words:
    a = info.account
    missing = None
    if a.rule == "none":
        missing = "The study stops no trial early."
    elif not (a.stopped or a.rungs):
        missing = "No trial has been stopped, and none is complete that had a rung."
    drawn = min(len(a.stopped), MAX_DRAWN)
    selected = (
        "" if drawn == len(a.stopped) else f" Drawn are {drawn:,} of {len(a.stopped):,} stopped trials."
    )
    return Words(
        lead=() if missing else tuple(s for s in (_saved(a), _cost(a), _check(a)) if s),
        missing=missing,
        reading=(
            "A triangle is a trial at the rung where it was stopped. What it would have become is not known; "
            "the lower panel therefore asks the rule about complete trials, whose ends are known. "
            + _counted(a)
            + selected
        ),
        table=_table(a) if a.stopped and not missing else None,
        picture=f"Errors of {count(len(a.stopped), 'stopped trial')} at their rungs, with those of complete ones",
    )  # fmt: skip


def _counted(a: Account) -> str:
    """Which points of a rival count."""
    without = (
        "a line is drawn between two rungs of another trial only where neither learning rate jumps between them and "
        "both have the same share of their peak; a rung at that very step needs no line."
    )
    if not a.by_difference:
        return f"Errors are compared at the same step: {without}"
    later = (
        "A trial that was stopped counts at later steps with its last difference. "
        if a.counts_stopped
        else ""
    )
    return (
        "Errors are compared at the same step as differences to plain training, the mean curve of the complete runs of "
        f"standard; between two rungs of another trial its difference is taken on a straight line. {later}"
        f"Where a learning rate is not that of standard, {without}"
    )


def _saved(a: Account) -> str:
    if not a.stopped:
        return f"The rule {a.rule} has stopped no trial."
    seconds = a.saved("seconds")
    share = seconds / (seconds + a.spent_seconds) if seconds + a.spent_seconds else 0.0
    return (
        f"The rule {a.rule} stopped {count(len(a.stopped), 'trial')}, which saved about {cost(a.saved('gflops'))} and "
        f"{duration(seconds)} of training, {100 * share:.0f} % of what the search would have taken; an estimate "
        "from each trial's own rates."
    )


def _cost(a: Account) -> str:
    if not a.n_replayed:
        return "No trial is complete, so nothing can be said of what was lost."
    text = (
        f"What it may have cost: had they come last, {a.n_now} of {count(a.n_replayed, 'complete trial')} asked "
        f"(of {a.n_complete:,}) would be stopped now, {a.lost_front} of {a.n_front} on the front among them."
    )
    if not a.stopped:
        return text
    known = sum(s.gap is not None for s in a.stopped)
    return (
        f"{text} {a.ahead} of {known} stopped trials that can be compared had a lower error than the later best at "
        "the same step, where the best is taken between its rungs as the rule takes it: an estimate."
    )


def _check(a: Account) -> str:
    asked = [s.agrees for s in a.stopped if s.agrees is not None]
    parts = []
    if asked:
        parts.append(
            f"asked again with what was known then, the rule stops {sum(asked)} of {len(asked)} again"
        )
    if a.n_replayed:
        parts.append(
            f"it would have stopped {a.n_then} of {count(a.n_replayed, 'complete trial')} that went on"
        )
    if not parts:
        return ""
    return (
        f"Check: {' and '.join(parts)}. Small differences come from planned costs, which were estimates then, "
        "and from trials that were judged in the same moments."
    )


def _table(a: Account) -> Table:
    return Table(
        caption="Stopped trials; the place is by error among those known then, the gap to the later best, "
        "which between its rungs is an estimate",
        header=(SLOT, NUMBER, "seed", "epoch", "error", "place", "of", "gap, points", "saved cost", "saved time", "again"),
        rows=tuple(_row(s, a.steps_per_epoch) for s in a.stopped),
    )  # fmt: skip


def _row(s: Stopped, per_epoch: int) -> tuple[str, ...]:
    return (
        str(s.slot), str(s.number), str(s.seed), f"{s.step / per_epoch:g}", percent(s.error), str(s.place),
        str(s.n_comparable + 1), "" if s.gap is None else points(s.gap),
        "" if s.saved_gflops is None else cost(s.saved_gflops),
        "" if s.saved_seconds is None else duration(s.saved_seconds),
        {None: "", True: "yes", False: "no"}[s.agrees],
    )  # fmt: skip
