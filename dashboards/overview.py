"""The question, its answer so far, and how much of the budget is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import theme
from dashboards.answer import sourced
from dashboards.codes import created_with
from dashboards.next_step import Progress, progress
from dashboards.page import Table, Words
from dashboards.units import count, duration, moment
from reprtune.analysis.attempts import deciding, seconds_alone, seconds_spent
from reprtune.record.outcomes import Outcome, counted
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import OBJECTIVES

TITLE = "Question and answer so far"
NOT_BEGUN = "not queued"
ORDER = sorted(Outcome, key=lambda o: (not o.is_final, o.is_open, o == "waiting"))


@dataclass(frozen=True, kw_only=True)
class OverviewInfo:
    """`search` and `controls`: slots by the outcome that decides them; `attempts`: all of the search;
    `progress`: how far it is and what to do next; `sources`: the page behind each sentence of the answer."""

    name: str
    question: str
    decision: str
    cost: str
    task: str
    objectives: Mapping[str, str]
    space: Mapping[str, str]
    progress: Progress
    answer: tuple[str, ...]
    sources: tuple[str, ...]
    plan: str
    slots: int
    control_slots: int
    search: Mapping[str, int]
    controls: Mapping[str, int]
    attempts: Mapping[str, int]
    seconds_spent: float
    seconds_alone: float
    created: float
    version: str
    digest: str
    code: str


def info(record: StudyRecord) -> OverviewInfo:
    spec, cells, found = record.spec, len(record.spec.arm_cells()), sourced(record)
    everything = (*record.trials, *record.controls)
    return OverviewInfo(
        name=spec.name,
        question=spec.question,
        decision=spec.decision,
        cost=spec.cost,
        task=(
            f"{spec.base.task.dataset}, {spec.base.model.name}, {spec.base.training.total} per trial, "
            f"batch {spec.base.training.batch_size}"
        ),
        objectives={name: OBJECTIVES[name].line for name in spec.objectives},
        space={name: _range_text(range_.values(), range_.ends()) for name, range_ in spec.params.items()},
        progress=progress(record),
        answer=tuple(text for text, _ in found),
        sources=tuple(page for _, page in found),
        plan=_plan(record),
        slots=spec.slots,
        control_slots=cells,
        search=_by_outcome(record.trials, spec.slots),
        controls=_by_outcome(record.controls, cells),
        attempts=_plain(record.counts()),
        seconds_spent=seconds_spent(everything),
        seconds_alone=seconds_alone(record.trials) + seconds_alone(record.controls),
        created=record.created,
        version=record.version,
        digest=record.digest,
        code=created_with(record),
    )


def _plan(record: StudyRecord) -> str:
    spec, total = record.spec, record.spec.base.training.total
    trials = f"{count(spec.slots, 'trial')} and {count(len(spec.arm_cells()), 'control')}"
    steps = f" ({record.facts['total_steps']:,} steps)" if total.unit == "ep" else ""
    return f"{trials}, {total} each{steps}"


def _by_outcome(trials: Sequence[TrialRecord], slots: int) -> dict[str, int]:
    deciders = deciding(trials)
    missing = slots - len(deciders)
    return {
        **_plain(counted(t.outcome for t in deciders.values())),
        **({NOT_BEGUN: missing} if missing > 0 else {}),
    }


def _plain(counts: Mapping[Outcome, int]) -> dict[str, int]:
    return {str(outcome): n for outcome, n in counts.items()}


def _range_text(values: Sequence[Any] | None, ends: Sequence[Any]) -> str:
    if values is not None and len(values) <= 6:
        return ", ".join(str(v) for v in values)
    return f"{ends[0]} to {ends[-1]}" + (f", {len(values)} values" if values else "")


def figure(info: OverviewInfo) -> go.Figure:
    """Two stacked bars: slots of the search and of the controls by outcome."""
    rows = {"search": info.search, "controls": info.controls}
    rows = {name: counts for name, counts in rows.items() if counts}
    fig = theme.figure(90 + 60 * len(rows))
    looks = {str(o): (theme.COLOURS[o.colour], o.pattern) for o in ORDER} | {NOT_BEGUN: (theme.FAINT, "")}
    for outcome, (colour, pattern) in looks.items():
        if not any(outcome in counts for counts in rows.values()):
            continue
        numbers = [counts.get(outcome, 0) for counts in rows.values()]
        fig.add_bar(
            y=list(rows),
            x=numbers,
            name=outcome,
            orientation="h",
            marker={
                "color": colour,
                "pattern": {"shape": pattern, "fillmode": "overlay"},
            },
            text=[str(n) if n else "" for n in numbers],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            insidetextfont_color=theme.on(colour),
            hovertemplate="%{y}: %{x} " + outcome + "<extra></extra>",
        )
    fig.update_layout(barmode="stack", legend_traceorder="normal", showlegend=True)
    fig.update_xaxes(title_text="slots", rangemode="tozero")
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return fig


def words(info: OverviewInfo) -> Words:
    final = {str(o) for o in Outcome if o.is_final}
    done, held = (sum(n for o, n in counts.items() if o in final) for counts in (info.search, info.controls))
    facts = [
        ("What would change our mind", info.decision),
        ("Planned", info.plan),
        ("Cost, as expected", info.cost),
        ("Cost, so far", _cost(info)),
        ("Trained", info.task),
        *((f"Minimised: {name}", meaning) for name, meaning in info.objectives.items()),
        ("Searched", "; ".join(f"{name}: {values}" for name, values in info.space.items())),
        (
            "Budget used",
            f"{done} of {count(info.slots, 'slot')}, {held} of {count(info.control_slots, 'control')}",
        ),
        ("Created", f"{moment(info.created)}, reprtune {info.version}, digest {info.digest[:12]}"),
        ("Code", info.code),
    ]
    rows = [_meaning(Outcome(name), n) for name, n in info.attempts.items()]
    return Words(
        state=info.progress.state,
        lead=(info.question, *info.answer),
        sources=("", *info.sources),
        step=info.progress.step,
        command=info.progress.command,
        facts=tuple(facts),
        reading=(
            "Each bar is the whole budget; a slot counts with the attempt that used it up, or with its "
            "newest. Stopped and diverged trials use their slot up; interrupted and lost ones are tried "
            "again."
        ),
        table=Table(
            caption="Attempts of the search by outcome",
            header=("outcome", "attempts", "meaning", "uses its slot up"),
            rows=tuple(rows),
        ),
        picture="Slots of the search and of the controls by outcome",
    )


def _meaning(outcome: Outcome, n: int) -> tuple[str, ...]:
    return str(outcome), str(n), outcome.words, "yes" if outcome.holds_slot else "no"


def _cost(info: OverviewInfo) -> str:
    if not info.seconds_spent and not info.seconds_alone:
        return "nothing trained yet"
    text = f"{duration(info.seconds_spent)} of training, added up over the workers"
    saved = 1 - info.seconds_spent / max(info.seconds_alone, 1e-9)
    return text + (f"; shared beginnings saved {100 * saved:.0f} %" if saved >= 0.005 else "")
