"""What arms have to do: every arm with every seed, and with further seeds where a comparison is still open; of a path
the arms that its results ask for."""

from __future__ import annotations

from collections.abc import Iterable

from reprtune.analysis.looks import wanted
from reprtune.analysis.path import walk
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.path import Path
from reprtune.spec.sections.arms import Arms
from reprtune.study.sections.cell import Cell


def next_work(section: Arms, study: StudyRecord) -> Iterable[Cell]:
    """All cells of the design, arm by arm; then those of the seeds that are added, seed by seed."""
    if isinstance(section.design, Path):
        arms = walk(section, study).cells
        return [Cell(arm=arm.name, seed=seed, settings=arm.changes) for arm in arms for seed in section.seeds]
    base = study.spec.base
    cells = [Cell(arm=arm.name, seed=seed, settings=arm.changes) for arm, seed in section.cells(base)]
    seeds = wanted(section, study)
    added = [
        Cell(arm=arm.name, seed=seed, settings=arm.changes)
        for seed in section.all_seeds[len(section.seeds) :]
        for arm in section.arms(base)
        if seed in seeds[arm.name]
    ]
    return cells + added
