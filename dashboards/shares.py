"""How many slots of each part of a study are used up: of its search, and of its arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.arms import arm_words
from reprtune.analysis.attempts import deciding
from reprtune.record.schema import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Share:
    """`done` of `planned` slots; `what` one of them is called, `slots` several, `where` they all are."""

    done: int
    planned: int
    what: str
    slots: str
    where: str


def shares(record: StudyRecord) -> list[Share]:
    """Of the parts that the study has, the search first; a confirmation waits for them."""
    spec, arms = record.spec, arm_words(record.spec)
    tries = "tries and " if any(section.tune for section in spec.comparisons) else ""
    found = [
        Share(
            done=done(record.trials),
            planned=spec.slots,
            what="search slot",
            slots="slots of the search",
            where="search",
        ),
        Share(
            done=done((*record.tries, *record.controls)),
            planned=sum(record.planned(one.name) for one in spec.comparisons),
            what="control" if spec.search else "run",
            slots=f"{tries}controls" if spec.search else f"{tries}runs of arms",
            where=arms.many,
        ),
    ]
    return [share for share in found if share.planned]


def done(trials: Sequence[TrialRecord]) -> int:
    """Slots that are used up."""
    return sum(t.is_final for t in deciding(trials))
