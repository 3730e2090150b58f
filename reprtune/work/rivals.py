"""Whom a stop rule compares a trial with: the curves of the other trials, seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from reprtune.analysis.standard_curve import KnownStretches
from reprtune.record.schema import TrialRecord
from reprtune.record.trials import to_record
from reprtune.spec.study import AnySection, StudySpec
from reprtune.stopping.curves import Rival


class RivalCurves:
    """Reads every finished trial once, so that a decision costs the trials that still run.

    Args:
        spec: of the study. section: to which the trials belong. steps_per_epoch: of the base.
    """

    def __init__(self, spec: StudySpec, section: AnySection, steps_per_epoch: int) -> None:
        self._spec, self._section = spec, section
        self._stretches = KnownStretches(spec, steps_per_epoch)
        self._finished: dict[int, Mapping[int, Rival]] = {}  # trial number -> seed -> its curve

    def against(self, trials: Iterable[FrozenTrial], slot: int, seed: int, with_cost: bool) -> list[Rival]:
        """The curves that the trial of a slot is compared with, at one of its seeds.

        Args:
            trials: all attempts of the study. with_cost: only those whose planned cost is known; else costs
                are left out.
        """
        curves = (self._curves(t) for t in trials if t.user_attrs["slot"] != slot)
        found = [rival for by_seed in curves if (rival := by_seed.get(seed)) is not None]
        if not with_cost:
            return [replace(rival, cost=None) for rival in found]
        return [rival for rival in found if rival.cost is not None]

    def _curves(self, trial: FrozenTrial) -> Mapping[int, Rival]:
        if trial.number in self._finished or trial.state == TrialState.WAITING:
            return self._finished.get(trial.number, {})
        curves = by_seed(to_record(trial, self._spec, self._section, histories=False), self._stretches)
        if trial.state.is_finished():
            self._finished[trial.number] = curves
        return curves


def by_seed(trial: TrialRecord, stretches: KnownStretches) -> dict[int, Rival]:
    """Seed -> its curve. Of a trial that came to a bad end, those of the seeds it finished before; nothing
    of an attempt whose slot was queued again."""
    if not (trial.outcome.is_comparable or trial.outcome.is_final):
        return {}
    runs = trial.runs if trial.outcome.is_comparable else trial.earlier
    stopped = trial.seed if trial.outcome == "stopped" else None
    return {
        run.seed: Rival(run.rungs, run.planned_gflops, stretches.of(run, trial.params), run.seed == stopped)
        for run in runs
        if run.rungs
    }
