"""What arms have to do: every arm with every seed; further seeds where a comparison is open; the next stage of a path."""

from __future__ import annotations

from collections.abc import Iterable

from reprtune.analysis.looks import wanted
from reprtune.analysis.path import walk
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.path import Path
from reprtune.spec.sections.arms import Arms
from reprtune.study.sections.cell import Cell


def next_work(section: Arms, study: StudyRecord) -> Iterable[Cell]:
    """All cells of the design, arm by arm; then what follows from those that are finished."""
    cells = [
        Cell(arm=arm.name, seed=seed, settings=arm.changes) for arm, seed in section.cells(study.spec.base)
    ]
    return cells + _of_path(section, study) + _added(section, study)


def _of_path(section: Arms, study: StudyRecord) -> list[Cell]:
    """Every change that is tried in the stages of a path so far; the last stage is its end, which is there."""
    if not isinstance(section.design, Path):
        return []
    end = section.design.end.name
    return [
        Cell(arm=one.arm.name, seed=seed, settings=one.arm.changes)
        for stage in walk(section, study).stages
        for one in stage.candidates
        for seed in section.seeds
        if one.arm.name != end
    ]


def _added(section: Arms, study: StudyRecord) -> list[Cell]:
    """The seeds of comparisons that are open, seed by seed."""
    seeds = wanted(section, study)
    return [
        Cell(arm=arm.name, seed=seed, settings=arm.changes)
        for seed in section.all_seeds[len(section.seeds) :]
        for arm in section.arms(study.spec.base)
        if seed in seeds[arm.name]
    ]
