"""Which worker trained which slot when, with its gaps and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.units import count, duration, moment
from reprtune.analysis.timeline import Busy, Span, timeline
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord

TITLE = "Workers over time"
ABOUT = "study"
MAX_LANES = 60
MAX_SPANS = 1500  # more are drawn as blocks
LANE_HEIGHT = 22
PAUSE_SHARE = 0.01  # of the whole time: shorter ones are not spoken of
UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


@dataclass(frozen=True, kw_only=True)
class Block:
    """Attempts of one lane with one outcome, one after another; seconds since the first start."""

    lane: str
    outcome: str
    start: float
    end: float
    n: int
    slot: str


@dataclass(frozen=True, kw_only=True)
class TimelineInfo:
    """`lanes`: workers, or hosts where there are too many workers; at most `MAX_LANES` of `n_lanes`."""

    begun: float
    length: float
    n_attempts: int
    lanes: tuple[str, ...]
    n_lanes: int
    by_host: bool
    blocks: tuple[Block, ...]
    workers: tuple[Busy, ...]
    pauses: int
    paused: float


def info(record: StudyRecord) -> TimelineInfo:
    found = timeline(record)
    spans = found.spans
    begun = spans[0].start if spans else 0.0
    length = max((s.end for s in spans), default=0.0) - begun
    by_host = len(found.workers) > MAX_LANES
    names = [_lane(s, by_host) for s in spans]
    every = list(dict.fromkeys(w.host if by_host else w.worker for w in found.workers))
    busiest = {name for name, _ in Counter(names).most_common(MAX_LANES)}
    lanes = tuple(name for name in every if name in busiest)
    shown = [s for s in spans if _lane(s, by_host) in busiest]
    within = length / 500 if len(shown) > MAX_SPANS else None
    pauses = [b - a for a, b in found.pauses if b - a >= PAUSE_SHARE * length]
    return TimelineInfo(
        begun=begun, length=length, n_attempts=len(spans), lanes=lanes, n_lanes=len(every), by_host=by_host,
        blocks=tuple(_blocks(shown, by_host, begun, within)), workers=found.workers,
        pauses=len(pauses), paused=float(sum(pauses)),
    )  # fmt: skip


def _lane(span: Span, by_host: bool) -> str:
    return span.host if by_host else span.worker


def _blocks(spans: Sequence[Span], by_host: bool, begun: float, within: float | None) -> list[Block]:
    """Neighbours of a lane with the same outcome and at most `within` seconds between them as one; none where it is None."""
    found: list[Block] = []
    last: dict[tuple[str, str], int] = {}
    for s in spans:
        key = (_lane(s, by_host), s.outcome)
        before = found[last[key]] if key in last else None
        start, end = s.start - begun, s.end - begun
        if before is not None and within is not None and start - before.end <= within:
            found[last[key]] = Block(
                lane=key[0], outcome=s.outcome, start=before.start, end=max(before.end, end), n=before.n + 1, slot="",
            )  # fmt: skip
        else:
            last[key] = len(found)
            found.append(Block(lane=key[0], outcome=s.outcome, start=start, end=end, n=1, slot=s.slot))
    return found


def figure(info: TimelineInfo) -> go.Figure:
    """One row per worker, one bar per attempt or block, coloured by outcome; failures on top."""
    fig = theme.figure(130 + LANE_HEIGHT * max(3, len(info.lanes)))
    size, unit = _unit(info.length)
    for outcome in sorted(Outcome, key=lambda o: (not o.is_comparable, o.is_open)):
        blocks = [b for b in info.blocks if b.outcome == outcome]
        if blocks:
            _add(fig, blocks, outcome, size)
    fig.update_xaxes(title_text=f"{unit} since {moment(info.begun)}", rangemode="tozero")
    fig.update_yaxes(
        type="category", categoryorder="array", categoryarray=[theme.text(x) for x in reversed(info.lanes)],
        showgrid=False, dtick=1,
    )  # fmt: skip
    fig.update_layout(barmode="overlay", bargap=0.25)
    return fig


def _add(fig: go.Figure, blocks: Sequence[Block], outcome: Outcome, size: float) -> None:
    fig.add_bar(
        y=[theme.text(b.lane) for b in blocks],
        x=[round(max(b.end - b.start, 0.0) / size, 5) for b in blocks],
        base=[round(b.start / size, 5) for b in blocks],
        orientation="h", name=str(outcome),
        marker={
            "color": theme.COLOURS[outcome.colour], "line": {"width": 0.5, "color": "rgba(255,255,255,0.6)"},
            "pattern": {"shape": outcome.pattern, "fillmode": "overlay"},
        },
        hovertext=[f"{theme.text(b.lane)}: {_what(b)}, {duration(b.end - b.start)}" for b in blocks], hoverinfo="text",
    )  # fmt: skip


def _what(b: Block) -> str:
    return f"{theme.text(b.slot)}, {b.outcome}" if b.n == 1 else f"{b.n} attempts, {b.outcome}"


def _unit(length: float) -> tuple[float, str]:
    return next(((size, name) for size, name in UNITS if length >= 2 * size), UNITS[-1])


def words(info: TimelineInfo) -> Words:
    more = []
    if info.by_host:
        more.append(f"A row is a host: {len(info.workers)} workers are too many to draw.")
    if info.n_lanes > len(info.lanes):
        more.append(f"Shown are the {len(info.lanes)} of {info.n_lanes} with the most attempts.")
    if any(b.n > 1 for b in info.blocks):
        more.append("Neighbours with the same outcome are drawn as one block.")
    return Words(
        lead=(_summary(info),) if info.n_attempts else (),
        missing=None if info.n_attempts else "No attempt has begun.",
        reading=" ".join([
            ("A bar is an attempt from its start to its end; white between bars of a row is time without a "
            "slot. A lost attempt ends when its loss was noticed. A worker that holds several slots at once "
            "has bars on top of each other."), *more,
        ]),
        table=_table(info) if info.workers else None,
        picture=f"Timeline of {count(info.n_attempts, 'attempt')} on {count(len(info.workers), 'worker')}",
    )  # fmt: skip


def _summary(info: TimelineInfo) -> str:
    hosts = len({w.host for w in info.workers})
    there = sum(w.end - w.start for w in info.workers)
    busy = sum(w.busy for w in info.workers)
    ended = Counter[str]()
    for w in info.workers:
        ended.update(w.ended)
    bad = ", ".join(f"{ended[o]:,} {o}" for o in Outcome if o.is_failure and ended[o])
    pauses = (
        f" In {count(info.pauses, 'longer pause')} of {duration(info.paused)} together nobody worked."
        if info.pauses else ""
    )  # fmt: skip
    return (
        f"{count(info.n_attempts, 'attempt')} by {count(len(info.workers), 'worker')} on {count(hosts, 'host')} in "
        f"{duration(info.length)}; between its first and last attempt a worker held a slot "
        f"{100 * busy / there if there else 100:.0f} % of the time. "
        + (f"Not brought to their end: {bad}." if bad else "Every attempt came to its end.") + pauses
    )  # fmt: skip


def _table(info: TimelineInfo) -> Table:
    return Table(
        caption="Workers: their attempts, and how much of their time they held a slot",
        header=("worker", "host", "device", "attempts", "ended as", "first start", "last end", "busy", "longest gap"),
        rows=tuple(
            (
                w.worker, w.host, w.device, str(w.n), ", ".join(f"{n} {o}" for o, n in w.ended.items()),
                moment(w.start), moment(w.end), f"{100 * w.utilisation:.0f} %", duration(w.longest_gap),
            )
            for w in info.workers
        ),
    )  # fmt: skip
