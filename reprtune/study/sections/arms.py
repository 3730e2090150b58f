"""What arms have to do: every arm with every seed, whatever comes out."""

from __future__ import annotations

from collections.abc import Iterable

from reprtune.record.schema import StudyRecord
from reprtune.spec.sections.arms import Arms
from reprtune.study.sections.cell import Cell


def next_work(section: Arms, study: StudyRecord) -> Iterable[Cell]:
    """All cells of the design."""
    return [
        Cell(arm=arm.name, seed=seed, settings=arm.changes) for arm, seed in section.cells(study.spec.base)
    ]
