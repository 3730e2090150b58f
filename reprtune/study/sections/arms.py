"""What arms have to do: every arm with every seed, and with further seeds where a comparison is still open; of a path
the arms that its results ask for. Where arms are tuned, their tries come first, and an arm once its own are final."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reprtune.analysis.looks import wanted
from reprtune.analysis.path import walk
from reprtune.analysis.tuned import tuned
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.path import Path
from reprtune.spec.sections.arms import Arms
from reprtune.study.sections.cell import Cell


def next_work(section: Arms, study: StudyRecord) -> Iterable[Cell]:
    """All cells of the design, arm by arm; then those of the seeds that are added, seed by seed."""
    if isinstance(section.design, Path):
        steps = walk(section, study).cells
        return [
            Cell(arm=arm.name, seed=seed, settings=arm.changes) for arm in steps for seed in section.seeds
        ]
    arms = _ready(section, study)
    cells = [Cell(arm=arm.name, seed=seed, settings=arm.changes) for arm in arms for seed in section.seeds]
    seeds = wanted(section, study)
    added = [
        Cell(arm=arm.name, seed=seed, settings=arm.changes)
        for seed in section.all_seeds[len(section.seeds) :]
        for arm in arms
        if seed in seeds[arm.name]
    ]
    return [*_tries(section, study), *cells, *added]


def _ready(section: Arms, study: StudyRecord) -> list[Arm]:
    """The arms that can be trained, with what they are trained with."""
    arms = section.arms(study.spec.base)
    if section.tune is None:
        return list(arms)
    found = tuned(section, study)
    return [
        replace(arm, changes=settings) for arm in arms if (settings := found[arm.name].settings) is not None
    ]


def _tries(section: Arms, study: StudyRecord) -> list[Cell]:
    """What they were queued with stays, whatever would be drawn now."""
    if section.tune is None:
        return []
    queued = {(str(t.arm), t.seed): t.settings or {} for t in study.of(section.name) if section.is_try(t.arm)}
    if len(queued) < section.design.planned(study.spec.base) * section.tune.runs:
        drawn = section.tries(study.spec.base, study.facts.get("steps_per_epoch"))
        queued = {(one.name, seed): one.changes for one, seed in drawn} | queued
    return [Cell(arm=arm, seed=seed, settings=settings) for (arm, seed), settings in queued.items()]
