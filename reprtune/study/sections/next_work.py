"""What each section of a study has to do, so far as the record says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reprtune.record.schema import StudyRecord
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.search import Search
from reprtune.study.sections import arms, confirmation, search
from reprtune.study.sections.cell import Cell

# Kind of a section -> what it has to do: all cells that it wants so far, from the record alone. Asked under the
# study's lock, at create and after each outcome; a cell that is there already is not queued again.
NEXT_WORK: dict[type[Any], Callable[[Any, StudyRecord], Iterable[Cell]]] = {
    Arms: arms.next_work,
    Search: search.next_work,
    Confirmation: confirmation.next_work,
}


def next_work(study: StudyRecord) -> dict[str, list[Cell]]:
    """Name of a section -> the cells that it wants."""
    return {section.name: list(NEXT_WORK[type(section)](section, study)) for section in study.spec.sections}
