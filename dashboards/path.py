"""Path: from one configuration to another step by step, and which of their differences carry the gain."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.labels import wrapped
from dashboards.page import Table, Words
from dashboards.paired import add_differences, difference_text
from dashboards.panels import panels
from dashboards.units import count, listed, percent, points
from reprtune.analysis.paired import Difference
from reprtune.analysis.path import Reached, Stage, Walked, walks
from reprtune.record.schema import StudyRecord

TITLE = "Path"
ABOUT = "path"
MOST_OF_IT = 0.9  # of the gain of the whole path
NO_DIFFERENCE = "There is no difference between start and end of the path."
READING = (
    "In each step every change that is left was tried by itself, with all seeds (faint: those that were not chosen), and the one "
    "with the lowest mean validation error was made for good. So the gain of a step was selected as the largest of several, and is "
    "partly luck; what luck gave to one step is missing to later ones, and the lowest point of a path is flattered too. Test errors are "
    "of the same runs, and were not chosen by. With the same seeds everywhere the gains of all steps add up to the difference between end and "
    "start, and that was not selected. What a change does may depend on those made before it: another order may give it another gain. "
    "Intervals are paired t intervals over seeds, and not corrected for the number of steps."
)


@dataclass(frozen=True, kw_only=True)
class PathInfo:
    """Every path of the study, in its order."""

    paths: tuple[Walked, ...]


def info(record: StudyRecord) -> PathInfo:
    return PathInfo(paths=walks(record))


def figure(info: PathInfo) -> go.Figure:
    """For each path, above its error after each step, below what each step gained."""
    titles, heights = list[list[str]](), list[int]()
    for path in info.paths:
        titles += [["changes, in their order"], ["change of the error, points"]]
        heights += [280, 40 * max(2, len(_gains(path)))]
    fig = panels(titles or [["changes, in their order"]], heights or [200], gap=120)
    for i, path in enumerate(info.paths):
        _add_errors(fig, path, 2 * i + 1)
        if gains := _gains(path):
            add_differences(fig, gains, row=2 * i + 2)
            fig.update_yaxes(autorange="reversed", type="category", row=2 * i + 2, col=1)
    seen = set[str]()
    fig.for_each_trace(lambda trace: trace.update(showlegend=_is_first(trace, seen)))
    return fig


def _is_first(trace: go.Scatter, seen: set[str]) -> bool:
    """Each name stands in the legend once."""
    if not trace.name or trace.name in seen:
        return False
    seen.add(trace.name)
    return True


def _add_errors(fig: go.Figure, path: Walked, row: int) -> None:
    reached = (path.start, *path.steps)
    labels = [wrapped(path.start.arm), *(f"{i}. {wrapped(s.change)}" for i, s in enumerate(path.steps, 1))]
    others = [
        (f"{i}. {wrapped(path.steps[i - 1].change)}" if i <= len(path.steps) else f"{i}. ?", one)
        for i, stage in enumerate(path.stages, 1)
        for one in stage.candidates
        if one.arm != stage.chosen and one.mean is not None
    ]
    fig.add_scatter(
        x=[label for label, _ in others], y=[100 * (one.mean or 0) for _, one in others], mode="markers",
        name="not chosen", marker={"symbol": "circle-open", "size": 9, "color": theme.GREY, "opacity": 0.6},
        hovertext=[f"{theme.text(one.change)}: {percent(one.mean or 0)}" for _, one in others],
        hoverinfo="text", row=row, col=1,
    )  # fmt: skip
    looks = (("validation", theme.BLUE, "diamond", "solid"), ("test", theme.ORANGE, "square", "dash"))
    for part, colour, symbol, dash in looks:
        known = [
            (label, one, error)
            for label, one in zip(labels, reached, strict=True)
            if (error := one.mean if part == "validation" else one.test) is not None
        ]
        fig.add_scatter(
            x=[label for label, *_ in known], y=[100 * error for *_, error in known], mode="lines+markers",
            name=f"{part} error of what was reached", line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 10, "color": colour},
            hovertext=[f"{theme.text(one.change or one.arm)}: {percent(error)} ({part})" for _, one, error in known],
            hoverinfo="text", row=row, col=1,
        )  # fmt: skip
    more = [f"{len(path.steps) + 1}. ?"] if any(label.endswith("?") for label, _ in others) else []
    fig.update_xaxes(type="category", categoryorder="array", categoryarray=[*labels, *more], row=row, col=1)
    fig.update_yaxes(title_text="error, %", row=row, col=1)


def _gains(path: Walked) -> list[tuple[str, Difference]]:
    """Of every step on both parts, and of the whole path."""
    found = []
    for i, step in enumerate(path.steps, 1):
        parts = (("validation", step.gain), ("test", step.test_gain))
        found += [(f"{i}. {step.change}, {part}", d) for part, d in parts if d is not None]
    if path.whole is not None and path.whole.judged is not None:
        found.append((f"start to end, {path.whole.measured_on}", path.whole.judged))
    return found


# -- words ------------------------------------------------------------------------------------------


def words(info: PathInfo) -> Words:
    missing = None
    if not info.paths:
        missing = "The study has no path."
    elif not any(one.start.mean is not None for one in info.paths):
        missing = "No run of the start of the path is complete yet."
    lead = [text for path in info.paths for text in _lead(path, named=len(info.paths) > 1)]
    return Words(
        lead=tuple(lead),
        missing=missing,
        reading=READING,
        table=_table(info) if any(path.stages for path in info.paths) else None,
        picture="Errors after each step of the path, with what was not chosen, and the gain of each step",
    )


def _lead(path: Walked, *, named: bool) -> list[str]:
    """The finding first; then how far the path is, and what could not be tried."""
    said = [_carries(path)] if path.is_finished else [_so_far(path)]
    if path.is_finished and (better := _lowest(path)):
        said.append(better)
    diverged = {c.arm: c.n_diverged for stage in path.stages for c in stage.candidates}
    if n := sum(diverged.values()):
        said.append(
            f"{count(n, 'run')} beside or on the path diverged, and {'counts' if n == 1 else 'count'} with chance error."
        )
    return [f"{path.section}: {text}" if named else text for text in said]


def _so_far(path: Walked) -> str:
    if path.end is None:
        return "The path begins once the search is finished and has a best trial, which is its end."
    if not path.changes:
        return NO_DIFFERENCE
    if path.is_stuck:
        return "The path cannot go on: " + (
            "no change can be made by itself."
            if path.stages and not path.stages[-1].candidates
            else "no candidate has a complete run with a seed that what was reached before has too."
        )
    made = listed([step.change for step in path.steps])
    n = len(path.steps)
    before = f": {made}" if made else ""
    return f"{n} of {count(len(path.changes), 'step')} made so far{before}; {count(path.left, 'run')} of this stage left."


def _carries(path: Walked) -> str:
    """Which differences carry what lies between start and end."""
    assert path.end is not None
    whole = path.whole.judged if path.whole else None
    if path.whole is None or whole is None:
        return f"No seed is complete both in {path.start.arm} and in {path.end.arm}, so that nothing can be said of the whole path."
    moved = f"From {path.start.arm} to {path.end.arm} the {path.whole.measured_on} error changes by {difference_text(whole)} points"
    if whole.low is None or whole.high is None:
        return f"{moved}: too little to say which change carries it."
    if whole.low <= 0 <= whole.high:
        return f"{moved}, so the ends are not shown to differ, and no change is shown to carry a gain."
    if whole.mean > 0:
        return f"{moved}: the end is worse, and the path shows only in which order it gets so."
    n, share = _first_most(path)
    if n == 0:
        return f"{moved}. On the validation part, by which steps were chosen, the mean does not fall: no step is named."
    names = listed([step.change for step in path.steps[:n]])
    k = len(path.steps)
    first = "all steps" if n == k else f"the first of {k} steps" if n == 1 else f"the first {n} of {k} steps"
    return f"{moved}. Most of it comes with {names}, {first}: {100 * share:.0f} % of the fall of the mean validation error, by which steps were chosen."


def _first_most(path: Walked) -> tuple[int, float]:
    """After how many steps most of the fall is reached, and what share; 0 where there is no fall."""
    means = [one.mean for one in (path.start, *path.steps)]
    known = [m for m in means if m is not None]
    fall = known[0] - known[-1] if len(known) == len(means) else 0.0
    if fall <= 0:
        return 0, 0.0
    return next(
        (i, (known[0] - m) / fall)
        for i, m in enumerate(known)
        if known[0] - m >= MOST_OF_IT * fall * (1 - 1e-9)
    )


def _lowest(path: Walked) -> str:
    """Where the path is lower on its way than at its end; empty where it is not."""
    ends = path.steps[-1].mean
    known = [(step.mean, i) for i, step in enumerate(path.steps, 1) if step.mean is not None]
    mean, n = min(known, default=(0.0, 0))
    if ends is None or not known or n == len(path.steps) or mean >= ends:
        return ""
    after = listed([step.change for step in path.steps[:n]])
    return (
        f"After {after} the mean validation error is {percent(mean)}, lower than at the end ({points(mean - ends)} points). It is the "
        "lowest of several, so that this is to be confirmed on other seeds."
    )


def _table(info: PathInfo) -> Table:
    several = len(info.paths) > 1
    rows = [
        (*([path.section] if several else []), *row)
        for path in info.paths
        for i, stage in enumerate(path.stages, 1)
        for row in _rows(i, stage)
    ]
    return Table(
        caption="Steps of the path and what was tried in each; differences in percentage points of error, with 95 % intervals",
        header=(
            *(["path"] if several else []), "step", "change", "chosen", "validation error", "gain, validation", "test error",
            "gain, test", "runs left",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _rows(i: int, stage: Stage) -> list[tuple[str, ...]]:
    """The chosen one first, then by their errors; at last what was not available."""
    order = sorted(stage.candidates, key=lambda c: (c.arm != stage.chosen, c.mean is None, c.mean or 0.0))
    tried = [
        (
            str(i), one.change, _chosen(one, stage), _error(one.mean), difference_text(one.gain), _error(one.test),
            difference_text(one.test_gain), str(one.left),
        )
        for one in order
    ]  # fmt: skip
    return tried + [(str(i), name, f"not available: {why}", *[""] * 5) for name, why in stage.refused.items()]


def _chosen(one: Reached, stage: Stage) -> str:
    return "" if stage.chosen is None else "yes" if one.arm == stage.chosen else "no"


def _error(value: float | None) -> str:
    return "" if value is None else percent(value)
