"""Plain training as the measure of all trials of a search: its curve, as it was known at a moment.

*Notations*
    R        the mean curve of the complete runs of the arm `standard` (`stopping.standard`)
    usable   a study has such an arm, plain training with the data, network and optimisation of its base, and its search
             varies the method alone; whether a trial's learning rates are those of R is told by its stretches
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.edit import changed
from reprtune.spec.method import MethodSpec
from reprtune.spec.study import StudySpec
from reprtune.stopping.standard import StandardCurve
from reprtune.stopping.stretches import Stretches, stretches_of


def is_usable(spec: StudySpec) -> bool:
    """Can the trials of the search be told from the arm `standard`?"""
    arm = next((arm for arm in spec.arms if arm.name == BASELINE), None)
    if arm is None or not _varies_method_alone(spec):
        return False
    if any(one.tune is not None and arm in one.arms(spec.base) for one in spec.comparisons):
        return False  # its learning rate is found by results
    plain, base = changed(spec.base, arm.changes), spec.base
    if plain.method != MethodSpec():
        return False
    return (plain.training, plain.task, plain.model) == (base.training, base.task, base.model)


def is_standard(trial: TrialRecord) -> bool:
    """Is it a run of R?"""
    return trial.arm == BASELINE and trial.outcome == "complete" and not trial.repaired


def curve_of(spec: StudySpec, steps_per_epoch: int, runs: Sequence[SeedRun]) -> StandardCurve | None:
    """R of these complete runs; None without any that was recorded."""
    points = [[(p.step, p.val_error) for p in run.history.points] for run in runs if run.history is not None]
    return StandardCurve(points, stretches_of(spec.base.training, steps_per_epoch)) if points else None


class StandardCurves:
    """R as it was known at each moment."""

    def __init__(self, record: StudyRecord) -> None:
        self._spec, self._steps_per_epoch = record.spec, steps_per_epoch_of(record)
        found = [t for t in record.controls if is_standard(t)] if is_usable(record.spec) else []
        self._trials = sorted(found, key=_ended)
        self._curves: dict[int, StandardCurve | None] = {}

    def at(self, moment: float | None = None) -> StandardCurve | None:
        """Of the runs that had ended by then; of all without a moment."""
        n = sum(moment is None or _ended(trial) <= moment for trial in self._trials)
        if n not in self._curves:
            runs = [run for trial in self._trials[:n] for run in trial.runs]
            self._curves[n] = curve_of(self._spec, self._steps_per_epoch, runs)
        return self._curves[n]


class KnownStretches:
    """The stretches of a trial's learning rate: as recorded, and in records of before as its schedule says, which
    knows nothing of restores and generations."""

    def __init__(self, spec: StudySpec, steps_per_epoch: int) -> None:
        self._spec, self._steps_per_epoch = spec, steps_per_epoch
        self._base = stretches_of(spec.base.training, steps_per_epoch) if _varies_method_alone(spec) else None
        self._shared: dict[Stretches, Stretches] = {}

    def of(self, run: SeedRun, params: Mapping[str, Any]) -> Stretches:
        found = run.stretches
        if found is None:
            found = self._base
        if found is None:
            found = stretches_of(self._spec.trial(params).training, self._steps_per_epoch)
        return self._shared.setdefault(
            found, found
        )  # one object for all that are equal, which compares at once


def steps_per_epoch_of(record: StudyRecord) -> int:
    return int(record.facts.get("steps_per_epoch") or 1)


def _varies_method_alone(spec: StudySpec) -> bool:
    return all(path.split(".")[0] == "method" for path in spec.space)


def _ended(trial: TrialRecord) -> float:
    return math.inf if trial.ended is None else trial.ended
