"""What a search has to do: its slots, whose settings a sampler draws when they are taken."""

from __future__ import annotations

from collections.abc import Iterable

from reprtune.record.schema import StudyRecord
from reprtune.spec.sections.search import Search
from reprtune.study.sections.cell import Cell


def next_work(section: Search, _study: StudyRecord) -> Iterable[Cell]:
    """All slots."""
    return [Cell(slot=slot) for slot in range(section.slots)]
