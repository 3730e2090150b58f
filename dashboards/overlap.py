"""How alike the filters of a layer are: before each drop, and after each restore."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.units import count, significant
from reprtune.analysis.front import front
from reprtune.analysis.stopping_account import spread
from reprtune.history import Drop, History, Restore
from reprtune.record.labels import trial_label
from reprtune.record.ranking import best
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.edit import changed
from reprtune.spec.levels import level
from reprtune.spec.space import param_name

TITLE = "Overlap of the filters over time"
ABOUT = "study"
MAX_TRIALS = 30
MEAN = "mean of the layers"
FAMILIES = {"ortho": "ortho criteria", "other": "other criteria"}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One measurement: `moment` is `drop` (just before it) or `restore` (just after it); layer -> overlap."""

    moment: str
    cycle: int
    epoch: float
    overlap: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Course:
    """One run's readings; `family`: a key of `FAMILIES`, by its criterion."""

    label: str
    criterion: str
    family: str
    readings: tuple[Reading, ...]
    n_members: int = 1


@dataclass(frozen=True, kw_only=True)
class FamilyMean:
    """Over all trials of a family: the mean overlap (of layers, then of trials) before and after a cycle."""

    family: str
    cycle: int
    n: int
    before: float
    after: float | None


@dataclass(frozen=True, kw_only=True)
class OverlapInfo:
    """At most `MAX_TRIALS` of the `n_with` trials that measured it: best, front, arms, then others."""

    courses: tuple[Course, ...]
    n_with: int
    means: tuple[FamilyMean, ...]


def info(record: StudyRecord) -> OverlapInfo:
    settings = joined(record.trials)
    everything = [t for t in (*settings, *record.controls) if _measured(t)]
    lead, on_front = best(record), {t.number for t in front(settings, record.spec.compared)}
    first = [t for t in everything if t.is_drawn and t.number in on_front]
    first.sort(key=lambda t: (lead is None or t.number != lead.number, t.number))
    first = first[: MAX_TRIALS // 2]
    first += spread([t for t in everything if not t.is_drawn], MAX_TRIALS // 3)
    ids = {id(t) for t in first}
    rest = [t for t in everything if id(t) not in ids]
    chosen = [*first, *spread(rest, MAX_TRIALS - len(first))]
    return OverlapInfo(
        courses=tuple(_course(record, t) for t in chosen),
        n_with=len(everything),
        means=_means(record, everything),
    )


def _measured(trial: TrialRecord) -> bool:
    return not trial.repaired and trial.history is not None and any(d.overlap for d in trial.history.drops)


def _course(record: StudyRecord, trial: TrialRecord) -> Course:
    assert trial.history is not None
    criterion = _criterion(record, trial)
    return Course(
        label=trial_label(trial),
        criterion=criterion,
        family=_family(criterion),
        readings=_readings(trial.history),
        n_members=trial.history.n_members,
    )


def _criterion(record: StudyRecord, trial: TrialRecord) -> str:
    """What ranked the filters of a run."""
    spec = record.spec
    if not trial.is_drawn:
        found = changed(spec.base, trial.settings or {})
    elif "method" in spec.space:
        found = spec.trial(trial.params)
    else:  # as above, thousands of times as fast
        range_ = spec.space.get("method.criterion")
        name = param_name("method.criterion", range_) if range_ else ""
        return str(trial.params.get(name, level(spec.base, "method.criterion")))
    return str(level(found, "method.criterion"))


def _family(criterion: str) -> str:
    return "ortho" if criterion.startswith("ortho") else "other"


def _readings(history: History) -> tuple[Reading, ...]:
    per = history.steps_per_epoch
    events: list[tuple[int, str, Drop | Restore]] = [(e.step, "drop", e) for e in history.drops_of()]
    events += [(e.step, "restore", e) for e in history.restores_of()]
    return tuple(
        Reading(moment=moment, cycle=e.cycle, epoch=step / per, overlap=dict(e.overlap))
        for step, moment, e in sorted(events, key=lambda row: (row[0], row[1] == "drop"))
        if e.overlap
    )


def _means(record: StudyRecord, trials: list[TrialRecord]) -> tuple[FamilyMean, ...]:
    before: dict[tuple[str, int], list[float]] = {}
    after: dict[tuple[str, int], list[float]] = {}
    for trial in trials:
        family = _family(_criterion(record, trial))
        assert trial.history is not None
        for event, into in ((trial.history.drops_of(), before), (trial.history.restores_of(), after)):
            for e in event:
                if e.overlap:
                    into.setdefault((family, e.cycle), []).append(statistics.fmean(e.overlap.values()))
    return tuple(
        FamilyMean(
            family=family, cycle=cycle, n=len(values), before=statistics.fmean(values),
            after=statistics.fmean(after[family, cycle]) if (family, cycle) in after else None,
        )
        for (family, cycle), values in sorted(before.items())
    )  # fmt: skip


def figure(info: OverlapInfo) -> go.Figure:
    """One chosen run's layers over time, its mean thick; the means of the two families beside it, dashed."""
    fig = theme.figure(480)
    for family, dash, colour in (("ortho", "dash", theme.GREEN), ("other", "dot", theme.PURPLE)):
        means = [m for c in info.courses if c.family == family for m in c.readings]
        if means:
            family_x, family_y = _family_line(info, family)
            fig.add_scatter(
                x=family_x, y=family_y, mode="markers", name=f"{FAMILIES[family]}, all shown", opacity=0.55,
                marker={"color": colour, "size": 6, "symbol": "circle-open" if dash == "dash" else "x-thin-open"},
                hovertemplate=f"{FAMILIES[family]}, epoch %{{x:.4g}}: %{{y:.4f}}<extra></extra>",
            )  # fmt: skip
    if not info.courses:
        return fig
    x, y, text, mean_x, mean_y = _lines(info.courses[0])
    fig.add_scatter(
        x=x, y=y, text=text, mode="lines+markers", name="layers of the chosen", line={"color": theme.GREY, "width": 1},
        marker={"size": 4}, hovertemplate="%{text}, epoch %{x:.4g}: %{y:.4f}<extra></extra>", connectgaps=False,
    )  # fmt: skip
    fig.add_scatter(
        x=mean_x, y=mean_y, mode="lines+markers", name=f"{MEAN} of the chosen",
        line={"color": theme.VERMILLION, "width": 3}, marker={"size": 7},
        hovertemplate="epoch %{x:.4g}: %{y:.4f}<extra>mean</extra>",
    )  # fmt: skip
    fig.update_layout(meta={"choices": [_choice(c, len(fig.data)) for c in info.courses]})
    fig.update_xaxes(title_text="epoch", rangemode="tozero")
    fig.update_yaxes(title_text="mean inter-filter overlap, 0 to 1", rangemode="tozero")
    return fig


def _family_line(info: OverlapInfo, family: str) -> tuple[list[float], list[float]]:
    points = [
        (r.epoch, statistics.fmean(r.overlap.values()))
        for c in info.courses
        if c.family == family
        for r in c.readings
    ]
    return [round(x, 4) for x, _ in points], [round(y, 5) for _, y in points]


def _lines(c: Course) -> tuple[list[float | None], list[float | None], list[str], list[float], list[float]]:
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for layer in dict.fromkeys(name for r in c.readings for name in r.overlap):
        own = [r for r in c.readings if layer in r.overlap]
        x += [*(round(r.epoch, 4) for r in own), None]
        y += [*(round(r.overlap[layer], 5) for r in own), None]
        text += [theme.text(layer)] * (len(own) + 1)
    means = [(round(r.epoch, 4), round(statistics.fmean(r.overlap.values()), 5)) for r in c.readings]
    return x, y, text, [m[0] for m in means], [m[1] for m in means]


def _choice(c: Course, n_traces: int) -> dict[str, Any]:
    """What the menu changes: the layers' lines and their mean, the last two traces."""
    x, y, text, mean_x, mean_y = _lines(c)
    return {
        "label": f"{c.label} ({c.criterion})",
        "trace": [n_traces - 2, n_traces - 1],
        "data": {"x": [x, mean_x], "y": [y, mean_y], "text": [text, None]},
        "layout": {},
    }


def words(info: OverlapInfo) -> Words:
    more = ""
    if info.n_with > len(info.courses):
        more = f" In the menu are {len(info.courses)} of {info.n_with:,} runs; the table's means are of all."
    if any(c.n_members > 1 for c in info.courses):
        more += " Of a run that trains several networks it is the first one's."
    return Words(
        missing=None if info.courses else "No trial has dropped a filter yet, so no overlap was measured.",
        reading=(
            "0: all filters of a layer are orthogonal to each other; 1: all are alike. It is measured just "
            "before each drop and just after each restore, over the whole layer: a line falls where the "
            "restore made filters more different than they were, and rises where training made them alike "
            f"again. Families differ in their settings too, not in the criterion alone.{more}"
        ),
        table=_table(info) if info.means else None,
        picture=f"Overlap of the filters over epochs for {count(len(info.courses), 'run')}",
    )


def _table(info: OverlapInfo) -> Table:
    return Table(
        caption="Mean overlap of layers, then of runs, by cycle and kind of criterion",
        header=("criterion", "cycle", "runs", "before the drop", "after the restore"),
        rows=tuple(
            (FAMILIES[m.family], str(m.cycle + 1), str(m.n), significant(m.before),
             "" if m.after is None else significant(m.after))
            for m in info.means
        ),
    )  # fmt: skip
