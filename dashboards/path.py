"""The path from one configuration to another: which change was made when, and what it gained."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.paired import difference_text
from dashboards.panels import panels
from dashboards.units import count, percent, points
from reprtune.analysis.path import Stage, Walk, walk
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.path import Path

TITLE = "Path"
ABOUT = "path"


@dataclass(frozen=True, kw_only=True)
class PathInfo:
    """Of the first path of the study; `others`: names of sections with further ones, which are not shown."""

    start: str = ""
    end: str = ""
    n_moves: int = 0
    walked: Walk | None = None
    others: tuple[str, ...] = ()


def info(record: StudyRecord) -> PathInfo:
    sections = [one for one in record.spec.comparisons if isinstance(one.design, Path)]
    if not sections:
        return PathInfo()
    design = sections[0].design
    assert isinstance(design, Path)
    return PathInfo(
        start=design.start.name,
        end=design.end.name,
        n_moves=len(design.moves(record.spec.base)),
        walked=walk(sections[0], record),
        others=tuple(one.name for one in sections[1:]),
    )


def figure(info: PathInfo) -> go.Figure:
    """Errors after each change that was made, and after those that were tried beside it."""
    fig = panels([["validation error, %"]], [360])
    if info.walked is None:
        return fig
    steps = [
        (info.start, info.walked.start),
        *((s.chosen, s.taken.error) for s in info.walked.stages if s.taken),
    ]
    tried = [
        (i, one.move, one.error)
        for i, stage in enumerate(info.walked.stages, 1)
        for one in stage.candidates
        if one.error is not None and one.move != stage.chosen
    ]
    fig.add_scatter(
        x=[i for i, *_ in tried], y=[100 * e for *_, e in tried], mode="markers", name="tried, not made",
        marker={"symbol": "circle-open", "size": 9, "color": theme.GREY},
        hovertext=[f"{theme.text(move)}: {percent(e)}" for _, move, e in tried], hoverinfo="text",
    )  # fmt: skip
    known = [(i, str(name), e) for i, (name, e) in enumerate(steps) if e is not None]
    fig.add_scatter(
        x=[i for i, *_ in known], y=[100 * e for *_, e in known], mode="lines+markers", name="made",
        marker={"symbol": "diamond", "size": 11, "color": theme.BLUE}, line={"color": theme.BLUE},
        hovertext=[f"{theme.text(name)}: {percent(e)}" for _, name, e in known], hoverinfo="text",
    )  # fmt: skip
    fig.update_xaxes(
        tickvals=[i for i, *_ in known],
        ticktext=[theme.text(name) for _, name, _ in known],
        title_text="change",
    )
    return fig


def words(info: PathInfo) -> Words:
    walked = info.walked
    if walked is None:
        return Words(missing="The study has no path.")
    others = (f"Further paths are not shown: {', '.join(info.others)}.",) if info.others else ()
    return Words(
        lead=(*_finding(info, walked), *others),
        missing=None if walked.start is not None else f"No run of {info.start} is complete yet.",
        reading=(
            "Every change that is left is tried by itself on top of those made before; the one with the lowest mean "
            "validation error is made. Below 0 a change gains. What is chosen among several looks better than it is: gains "
            "of single changes, and their intervals, are optimistic; the difference of the two ends was not chosen. "
            "Intervals are paired t intervals over seeds, not corrected."
        ),
        table=_table(walked),
        picture="Validation error along the path, change by change",
    )


def _finding(info: PathInfo, walked: Walk) -> tuple[str, ...]:
    made = [stage for stage in walked.stages if stage.taken]
    if not walked.finished:
        return (f"{count(len(made), 'change')} of {info.n_moves} made so far; runs of the next are left.",)
    whole, d = walked.whole, walked.whole.judged
    found = [] if d is None else [
        f"From {info.start} to {info.end} the {whole.measured_on} error changes by {difference_text(d)} points."
    ]  # fmt: skip
    best = _best(walked)
    if best is not None and best.taken is not None and (gain := best.taken.gain.judged) is not None:
        found.append(
            f"{best.chosen} gains most, {difference_text(gain)} points; it was chosen for that, so the true gain may "
            "be smaller."
            if gain.mean < 0
            else f"No single change gains; {best.chosen} costs least ({points(gain.mean)} points)."
        )
    if any(stage.stuck for stage in walked.stages):
        found.append("The last changes could not be made one by one, and were made at once.")
    return tuple(found)


def _best(walked: Walk) -> Stage | None:
    """The stage whose change gained most."""
    known = [
        (one.taken.gain.judged.mean, i)
        for i, one in enumerate(walked.stages)
        if one.taken is not None and one.taken.gain.judged is not None
    ]
    return walked.stages[min(known)[1]] if known else None


def _table(walked: Walk) -> Table:
    return Table(
        caption="Changes tried at each stage; differences to the arm before, in percentage points of error",
        header=("stage", "change", "made", "validation error after it", "measured on", "difference", "pairs"),
        rows=tuple(
            (
                str(i), one.move, "yes" if one.move == stage.chosen else "",
                "" if one.error is None else percent(one.error),
                one.gain.measured_on if one.gain.judged else "", difference_text(one.gain.judged),
                str(one.gain.judged.n if one.gain.judged else 0),
            )
            for i, stage in enumerate(walked.stages, 1)
            for one in stage.candidates
        ),
    )  # fmt: skip
