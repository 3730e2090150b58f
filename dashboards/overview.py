"""The question, its answer so far, and how much of the budget is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import health, theme
from dashboards.answer import sourced
from dashboards.arms import arm_words
from dashboards.codes import created_with
from dashboards.lengths import ends, lengths
from dashboards.next_step import Progress, progress
from dashboards.page import Table, Words
from dashboards.rules import rules_text
from dashboards.shares import shares
from dashboards.units import count, duration, listed, moment
from reprtune.analysis.attempts import deciding, seconds_alone, seconds_spent
from reprtune.record.outcomes import Outcome, counted
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.search import Search

TITLE = "Question and answer so far"
ABOUT = "study"
NOT_BEGUN = "not queued"
ORDER = sorted(Outcome, key=lambda o: (not o.is_final, o.is_open, o == "waiting"))


@dataclass(frozen=True, kw_only=True)
class OverviewInfo:
    """What the first page says.

    Attributes:
        searched: has it a search?
        sections: name of a section -> its slots by the outcome that decides them, the search first.
        budget: how many slots of what are used up, in words.
        attempts, repaired: of the search, without one of the arms, by outcome: those that count, and those that do
            so no more because their slot was queued again. of: whose they are.
        rules: what decides, in words; empty without arms.
        progress: how far it is and what to do next. sources: the page behind each sentence of the answer.
        warnings: of checks that fail, a sentence each.
    """

    name: str
    question: str
    decision: str
    rules: str
    cost: str
    task: str
    objectives: Mapping[str, str]
    space: Mapping[str, str]
    progress: Progress
    warnings: tuple[str, ...]
    answer: tuple[str, ...]
    sources: tuple[str, ...]
    plan: str
    searched: bool
    sections: Mapping[str, Mapping[str, int]]
    budget: str
    attempts: Mapping[str, int]
    repaired: Mapping[str, int]
    of: str
    seconds_spent: float
    seconds_alone: float
    created: float
    version: str
    digest: str
    code: str


def info(record: StudyRecord) -> OverviewInfo:
    spec, found = record.spec, sourced(record)
    everything = (*record.trials, *record.tries, *record.controls)
    own = record.trials if spec.search else (*record.tries, *record.controls)
    return OverviewInfo(
        name=spec.name,
        question=spec.question,
        decision=spec.decision,
        rules=rules_text(spec.applied_rules),
        cost=spec.cost,
        task=(
            f"{spec.base.task.dataset}, {spec.base.model.name}, {spec.base.training.total} per trial, "
            f"batch {spec.base.training.batch_size}"
        ),
        objectives={name: OBJECTIVES[name].line for name in spec.objectives},
        space={name: _range_text(range_.values(), range_.ends()) for name, range_ in spec.params.items()},
        progress=progress(record),
        warnings=health.warnings(health.info(record)),
        answer=tuple(text for text, _ in found),
        sources=tuple(page for _, page in found),
        plan=_plan(record),
        searched=spec.search is not None,
        sections=_by_section(record),
        budget=_budget(record),
        attempts=_counts([t for t in own if not t.repaired]),
        repaired=_counts([t for t in own if t.repaired]),
        of="the search" if spec.search else "the arms",
        seconds_spent=seconds_spent(everything),
        seconds_alone=sum(map(seconds_alone, (record.trials, record.tries, record.controls))),
        created=record.created,
        version=record.version,
        digest=record.digest,
        code=created_with(record),
    )


def _budget(record: StudyRecord) -> str:
    used = [f"{s.done} of {count(s.planned, s.what)}" for s in shares(record)]
    if wanted := record.spec.confirmation:
        planned = record.planned(wanted.name)
        used.append(f"{planned - record.unconfirmed()} of {count(planned, 'run')} of the confirmation")
    return ", ".join(used)


def _plan(record: StudyRecord) -> str:
    spec, total = record.spec, record.spec.base.training.total
    runs, arms = sum(record.planned(one.name) for one in spec.comparisons), arm_words(spec)
    parts = [count(spec.slots, "trial")] if spec.search else []
    parts += (
        [count(runs, arms.one) if spec.search else f"{count(len(spec.arms), 'arm')}, {count(runs, 'run')}"]
        if runs
        else []
    )
    trials = " and ".join(parts)
    epoch = record.facts["steps_per_epoch"]
    totals = ends(spec, epoch)
    n = lengths(spec, epoch) if len(totals) > 1 else f"{record.facts['total_steps']:,}"
    steps = f" ({n} steps)" if total.unit == "ep" else ""
    return f"{trials}, {' to '.join(map(str, totals))} each{steps}"


def _by_section(record: StudyRecord) -> dict[str, dict[str, int]]:
    """Of the search and the sections of arms; what a confirmation says has a page of its own."""
    spec = record.spec
    sections: list[Search | Arms] = [*([spec.search] if spec.search else []), *spec.comparisons]
    return {one.name: _by_outcome(record.of(one.name), spec.planned(one)) for one in sections}


def _by_outcome(trials: Sequence[TrialRecord], slots: int) -> dict[str, int]:
    deciders = deciding(trials)
    missing = slots - len(deciders)
    return {**_counts(deciders), **({NOT_BEGUN: missing} if missing > 0 else {})}


def _counts(trials: Sequence[TrialRecord]) -> dict[str, int]:
    return {str(outcome): n for outcome, n in counted(t.outcome for t in trials).items()}


def _range_text(values: Sequence[Any] | None, ends: Sequence[Any]) -> str:
    if values is not None and len(values) <= 6:
        return ", ".join(str(v) for v in values)
    return f"{ends[0]} to {ends[-1]}" + (f", {len(values)} values" if values else "")


def figure(info: OverviewInfo) -> go.Figure:
    """A stacked bar for each section: its slots by outcome."""
    rows = {theme.text(name): counts for name, counts in info.sections.items() if counts}
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
    verb = "Minimised" if info.searched else "Compared by"
    facts = [
        *([("What would change our mind", info.decision)] if info.decision else []),
        *([("Decided by", info.rules)] if info.rules else []),
        ("Planned", info.plan),
        ("Cost, as expected", info.cost),
        ("Cost, so far", _cost(info)),
        ("Trained", info.task),
        *((f"{verb}: {name}", meaning) for name, meaning in info.objectives.items()),
        *(
            [("Searched", "; ".join(f"{n}: {values}" for n, values in info.space.items()))]
            if info.searched
            else []
        ),
        ("Budget used", info.budget),
        ("Created", f"{moment(info.created)}, reprtune {info.version}, digest {info.digest[:12]}"),
        ("Code", info.code),
    ]
    rows = [
        (
            str(o),
            str(info.attempts.get(o, 0)),
            str(info.repaired.get(o, 0)),
            o.words,
            "yes" if o.holds_slot else "no",
        )
        for o in Outcome
        if o in info.attempts or o in info.repaired
    ]
    return Words(
        state=info.progress.state,
        lead=(info.question, *(f"Warning: {text}" for text in info.warnings), *info.answer),
        sources=("", *("health" for _ in info.warnings), *info.sources),
        step=info.progress.step,
        command=info.progress.command,
        facts=tuple(facts),
        reading=(
            "Each bar is the whole budget; a slot counts with the attempt that used it up, or with its "
            "newest. Stopped and diverged trials use their slot up; interrupted and lost ones are tried "
            "again, and so are repaired ones, which count no more."
        ),
        table=Table(
            caption=f"Attempts of {info.of} by outcome",
            header=("outcome", "attempts", "repaired", "meaning", "uses its slot up"),
            rows=tuple(rows),
        ),
        picture=f"Slots by outcome, of {listed(list(info.sections))}",
    )


def _cost(info: OverviewInfo) -> str:
    if not info.seconds_spent and not info.seconds_alone:
        return "nothing trained yet"
    text = f"{duration(info.seconds_spent)} of training, added up over the workers"
    saved = 1 - info.seconds_spent / max(info.seconds_alone, 1e-9)
    return text + (f"; shared beginnings saved {100 * saved:.0f} %" if saved >= 0.005 else "")
