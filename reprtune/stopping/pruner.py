"""The rung rule as a plain Optuna pruner, for anyone with one objective and a curve like a saw."""

from __future__ import annotations

import math

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from reprtune.errors import SpecError
from reprtune.spec.rules import at_least
from reprtune.spec.study import StopRule
from reprtune.stopping.rungs import Other, should_stop

COMPARED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class RungPruner(optuna.pruners.BasePruner):
    """Stops a trial whose last reported value is worse than those of the others at that step.

    Report only where trials can be compared: at the end of a cycle, with the whole network, at
    whatever step that is. The others' values are interpolated to the same step, so that trials with
    cycles of different lengths are compared at the same phase. Failed trials are not compared with.

        study = optuna.create_study(pruner=RungPruner())
        ...
        trial.report(error, step)      # at the ends of cycles only
        if trial.should_prune():
            raise optuna.TrialPruned

    A reported NaN stops the trial, as Optuna's own pruners do; another trial's NaN counts as worst.

    Args:
        rule, percentile, reduction_factor: as `StopRule` has them. `median`: the better half goes on;
            `percentile`: the best so many per cent (25 when left out); `successive-halving`: the best
            1/`reduction_factor` (a third when left out), judged once after every total/`reduction_factor`^k.
        total: the step at which a trial ends; for `successive-halving`, which needs it.
        min_comparable: with fewer other trials that reach from before the step to after it,
            nothing is stopped.
        warmup_reports: no decision at the first so many reports of a trial; with 1 and a report
            just before each drop, none before its first full cycle.

    Raises:
        SpecError: an unknown rule, an option of another rule, a value out of its range.
    """

    def __init__(
        self,
        rule: str = "median",
        *,
        percentile: float | None = None,
        reduction_factor: int | None = None,
        total: int | None = None,
        min_comparable: int = 5,
        warmup_reports: int = 1,
    ) -> None:
        at_least("warmup_reports", warmup_reports, 0)
        self._rule = StopRule(
            rule=rule,
            min_comparable=min_comparable,
            percentile=percentile,
            reduction_factor=reduction_factor,
        )
        if (total is None) == (rule == "successive-halving"):
            raise SpecError(
                f"total goes with the rule 'successive-halving' and no other, but the rule is {rule!r} "
                f"and total is {total}.",
                "It is the step at which a trial ends: the levels are shares of it.",
            )
        if total is not None:
            at_least("total", total, 1)
        self._total, self._warmup_reports = total, warmup_reports

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Called by `trial.should_prune()`."""
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        curve = _curve(trial, sign)
        if not curve:
            return False
        step, error = curve[-1]
        if math.isnan(error):
            return True
        if len(curve) <= self._warmup_reports:
            return False
        trials = study.get_trials(deepcopy=False, states=COMPARED)
        others = [Other(_curve(t, sign)) for t in trials if t.number != trial.number]
        earlier = [at for at, _ in curve[self._warmup_reports : -1]]
        return should_stop(self._rule, step, error, None, others, earlier=earlier, total=self._total)


def _curve(trial: FrozenTrial, sign: float) -> list[tuple[int, float]]:
    return [(step, sign * value) for step, value in sorted(trial.intermediate_values.items())]
