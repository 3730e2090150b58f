"""Whom a stop rule compares a trial with: the curves of the other trials, seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from optuna.trial import FrozenTrial, TrialState

from reprtune.record.schema import TrialRecord
from reprtune.record.storage import to_record
from reprtune.stopping.rungs import Other


class Rivals:
    """Reads every finished trial once, so that a decision costs the trials that still run.

    Args:
        objectives: of the study. seed: the first of its trials' seeds.
    """

    def __init__(self, objectives: tuple[str, ...], seed: int) -> None:
        self._objectives, self._seed = objectives, seed
        self._finished: dict[int, Mapping[int, Other]] = {}  # trial number -> seed -> its curve

    def others(self, trials: Iterable[FrozenTrial], slot: int, seed: int, with_cost: bool) -> list[Other]:
        """The curves that the trial of a slot is compared with, at one of its seeds.

        Args:
            trials: all attempts of the study. with_cost: only those whose planned cost is known; else costs
                are left out.
        """
        curves = (self._curves(t) for t in trials if t.user_attrs["slot"] != slot)
        found = [other for by_seed in curves if (other := by_seed.get(seed)) is not None]
        if not with_cost:
            return [Other(other.curve) for other in found]
        return [other for other in found if other.cost is not None]

    def _curves(self, trial: FrozenTrial) -> Mapping[int, Other]:
        if trial.number in self._finished or trial.state == TrialState.WAITING:
            return self._finished.get(trial.number, {})
        curves = by_seed(to_record(trial, self._objectives, self._seed, histories=False))
        if trial.state.is_finished():
            self._finished[trial.number] = curves
        return curves


def by_seed(trial: TrialRecord) -> dict[int, Other]:
    """Seed -> its curve. Of a trial that came to a bad end, those of the seeds it finished before; nothing
    of an attempt whose slot was queued again."""
    if not (trial.outcome.is_comparable or trial.outcome.is_final):
        return {}
    runs = trial.runs if trial.outcome.is_comparable else trial.earlier
    return {run.seed: Other(run.rungs, run.planned_gflops) for run in runs if run.rungs}
