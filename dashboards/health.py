"""Is the study sound? Every check of what its conclusions rest on."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.checks import WORDS, found, remedy, sentence
from dashboards.page import Table, Words
from dashboards.units import count
from reprtune.analysis.check import NOT_YET, OK, WARNING, Check
from reprtune.analysis.health import checks
from reprtune.record.schema import StudyRecord

TITLE = "Is the study sound?"
ABOUT = "study"
RESULTS = {WARNING: "Warning", OK: "Good", NOT_YET: "Does not apply"}


@dataclass(frozen=True, kw_only=True)
class HealthInfo:
    """The checks of the kinds of sections that the study has, in their order."""

    name: str
    checks: tuple[Check, ...]


def info(record: StudyRecord) -> HealthInfo:
    return HealthInfo(name=record.spec.name, checks=checks(record))


def warnings(info: HealthInfo) -> tuple[str, ...]:
    """A sentence for each check that fails, with what to do; where another one has said that, without."""
    todo = {check.name: remedy(check, info.name) for check in info.checks if check.fails}
    first = {what: name for name, what in reversed(todo.items())}
    return tuple(
        sentence(c, info.name) if first[todo[c.name]] == c.name else found(c) for c in info.checks if c.fails
    )


def figure(info: HealthInfo) -> go.Figure:  # noqa: ARG001 - as every page has it
    """None is drawn: a check is words and a few numbers."""
    return theme.figure(100)


def words(info: HealthInfo) -> Words:
    in_order = sorted(info.checks, key=lambda check: [*RESULTS].index(check.outcome))
    return Words(
        missing=_summary(info),
        facts=tuple((WORDS[c.name].title, _fact(c, info.name)) for c in in_order),
        table=Table(
            caption="Checks: result, what it rests on, and what to do where it fails",
            header=("check", "result", "what it rests on", "what to do"),
            rows=tuple(
                (WORDS[c.name].title, RESULTS[c.outcome].lower(), found(c), remedy(c, info.name))
                for c in in_order
            ),
        ),
    )


def _summary(info: HealthInfo) -> str:
    n = {result: sum(c.outcome == result for c in info.checks) for result in RESULTS}
    warn, good, others = n[WARNING], n[OK], n[NOT_YET]
    text = f"{warn or 'None'} of {count(len(info.checks), 'check')} {'warns' if warn < 2 else 'warn'}"
    text += f", {good} found nothing wrong" if good else ""
    text += f", {others} {'does' if others == 1 else 'do'} not apply" if others else ""
    return f"{text}. A warning says what cannot be concluded from this study, or what to do before it is."


def _fact(check: Check, study: str) -> str:
    text = f"{RESULTS[check.outcome]}. {found(check)}"
    todo = remedy(check, study)
    return f"{text} To do: {todo}." if todo else text
