"""The rung rule as a plain Optuna pruner, for anyone with one objective and a curve like a saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from reprtune.errors import SpecError
from reprtune.spec.rules import at_least
from reprtune.spec.stop_rules import StopRule
from reprtune.stopping.curves import Rival, Standing
from reprtune.stopping.rungs import should_stop
from reprtune.stopping.stretches import Stretches

COMPARED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class RungPruner(optuna.pruners.BasePruner):
    """Stops a trial whose last reported value is worse than those of the others at that step.

    Report only where trials can be compared: at the end of a cycle, with the whole network, at
    whatever step that is. The others' values are interpolated to the same step, so that trials with
    cycles of different lengths are compared at the same phase, and never across a milestone. Failed trials are not compared with.

        study = optuna.create_study(pruner=RungPruner())
        ...
        trial.report(error, step)      # at the ends of cycles only
        if trial.should_prune():
            raise optuna.TrialPruned

    A reported NaN stops the trial, as Optuna's own pruners do; another trial's NaN counts as worst.

    Args:
        rule: a value of `reprtune.spec.stop_rules`, or the name of one. `median`: the better half goes on;
            `percentile`: the best so many per cent; `successive-halving`: the best 1/`reduction_factor`,
            judged once after every total/`reduction_factor`^k; `none`: all.
        percentile, reduction_factor, min_comparable: options of a rule given by its name (25, 3 and 5 when left
            out). With fewer than `min_comparable` other trials that reach from before the step to after it,
            nothing is stopped.
        total: the step at which a trial ends; for `successive-halving`, which needs it.
        warmup_reports: no decision at the first so many reports of a trial; with 1 and a report
            just before each drop, none before its first full cycle.
        milestones: steps, increasing, after which the learning rate of all trials is another one. The others' values
            are interpolated between reports with no milestone between them; a report at a milestone itself comes
            before it, and a report at the very step needs no other.

    Raises:
        SpecError: an unknown rule, an option of another rule, a value out of its range.
    """

    def __init__(
        self,
        rule: str | StopRule = "median",
        *,
        percentile: float | None = None,
        reduction_factor: int | None = None,
        total: int | None = None,
        min_comparable: int | None = None,
        warmup_reports: int = 1,
        milestones: Sequence[int] = (),
    ) -> None:
        at_least("warmup_reports", warmup_reports, 0)
        options = {
            "percentile": percentile, "reduction_factor": reduction_factor, "min_comparable": min_comparable,
        }  # fmt: skip
        self._rule = _rule(rule, {name: value for name, value in options.items() if value is not None})
        if (total is None) == self._rule.needs_total:
            needing = " or ".join(kind.kind for kind in StopRule.kinds if kind.needs_total)
            raise SpecError(
                f"total goes with the rule {needing} and no other, but the rule is {self._rule.kind} "
                f"and total is {total}.",
                "It is the step at which a trial ends: the levels are shares of it.",
            )
        if total is not None:
            at_least("total", total, 1)
        self._total, self._warmup_reports = total, warmup_reports
        self._stretches = _stretches(milestones)

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
        rivals = [
            Rival(_curve(t, sign), stretches=self._stretches) for t in trials if t.number != trial.number
        ]
        earlier = [at for at, _ in curve[self._warmup_reports : -1]]
        return should_stop(self._rule, Standing(step, error, None, earlier=earlier, total=self._total, stretches=self._stretches), rivals)  # fmt: skip


def _rule(given: str | StopRule, options: dict[str, Any]) -> StopRule:
    if isinstance(given, StopRule) and options:
        raise SpecError(
            f"{', '.join(options)} cannot stand beside the rule {given!r}, which has its options itself.",
            "Give the rule by its name, or its options in the value.",
        )
    rule: StopRule = StopRule.read({"kind": given, **options} if isinstance(given, str) else given, "rule")
    return rule


def _stretches(milestones: Sequence[int]) -> Stretches:
    for step in milestones:
        at_least("milestones", step, 1)
    if list(milestones) != sorted(set(milestones)):
        raise SpecError(
            f"milestones must be increasing steps, but got {list(milestones)}.", "Write them like (400, 700)."
        )
    return tuple((step, str(i)) for i, step in enumerate((0, *milestones)))


def _curve(trial: FrozenTrial, sign: float) -> list[tuple[int, float]]:
    return [(step, sign * value) for step, value in sorted(trial.intermediate_values.items())]
