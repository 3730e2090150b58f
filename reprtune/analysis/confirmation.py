"""The confirmation: leaders and controls on fresh seeds, compared by their errors on the test part.

*Notations*

    t_s        test error of an arm with fresh seed s after its last epoch, a fraction
    se         sqrt(t (1 - t) / n_test): what the test part itself leaves open; seeds do not average it out
    optimism   validation error on the fresh seeds minus the one the leader was selected by: mean and t interval over
               the seeds, of the same validation images

Leaders and controls are compared as in `paired`; all comparisons are one family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reprtune.analysis.attempts import deciding
from reprtune.analysis.controls import compared_with
from reprtune.analysis.paired import Comparison, Difference, SeedValue, corrected, paired
from reprtune.analysis.plain_curve import confirmed_beside_curve, shorter
from reprtune.analysis.runs import (
    chance_error,
    compare,
    ends,
    errors_on_test,
    errors_on_validation,
    mean,
    mean_of,
    ratio,
    sampling_error,
    sd,
)
from reprtune.record.leaders import leader_arm, leader_slot
from reprtune.record.measures import at_the_end
from reprtune.record.ranking import best_first
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import COST, ERROR


@dataclass(frozen=True, kw_only=True)
class ConfirmedArm:
    """A leader or a control on the fresh seeds.

    Attributes:
        slot: of the search, None for a control. params: what was drawn there.
        n: complete runs. n_diverged, n_failed, n_open: the others; open = waiting or running.
        test, val: errors of the complete runs. Means, and sd over seeds, which need two.
        test_se: standard error that the test part's size leaves in one test error; None of an error of 0 or 1.
        cost_factor: mean training cost relative to the standard arm.
        search_val: the validation error by which the leader was selected. optimism: see *Notations*.
    """

    arm: str
    slot: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    n: int = 0
    n_diverged: int = 0
    n_failed: int = 0
    n_open: int = 0
    test: tuple[SeedValue, ...] = ()
    val: tuple[SeedValue, ...] = ()
    test_mean: float | None = None
    test_sd: float | None = None
    val_mean: float | None = None
    val_sd: float | None = None
    test_se: float | None = None
    cost_factor: float | None = None
    search_val: float | None = None
    optimism: Difference | None = None


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """All of it.

    Attributes:
        runs: queued. open: not finished. seeds: the fresh ones. n_test: images of the test part.
        arms: leaders, best of the search first, then the controls in their order.
        comparisons: every leader with every control, and with plain training of its cost where the study has other
            lengths of it (see `plain_curve`); without leaders, every arm with those that it names, else with
            `standard`.
    """

    runs: int
    open: int
    seeds: tuple[int, ...]
    n_test: int
    arms: tuple[ConfirmedArm, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def leader(self) -> ConfirmedArm | None:
        """The best of the search: chosen before any test error was known."""
        return next((arm for arm in self.arms if arm.slot is not None), None)


def confirmation(record: StudyRecord) -> Confirmation | None:
    """None until the study is confirmed."""
    if not record.confirmation:
        return None
    attempts = deciding(record.confirmation)
    chosen = _chosen(record)
    groups = {arm: [t for t in attempts if t.arm == arm] for arm in chosen}
    n_test = int(record.facts.get("n_test") or 0)
    base_cost = mean_of(groups.get(BASELINE, []), COST)
    arms = tuple(_arm(arm, trials, chosen[arm], n_test, base_cost) for arm, trials in groups.items())
    leaders = [arm.arm for arm in arms if arm.slot is not None]
    controls = [arm.arm for arm in arms if arm.slot is None and arm.arm not in shorter(record.spec)]
    pairs = [(arm, control) for arm in leaders for control in controls] or [
        (arm, control)
        for arm, others in compared_with(record).items()
        for control in others
        if {arm, control} <= {*controls}
    ]
    chance = chance_error(record)
    found = [
        compare(arm, control, groups[arm], groups[control], chance, measured_on="test")
        for arm, control in pairs
    ]
    beside = {arm: confirmed_beside_curve(record, arm) for arm in leaders}
    return Confirmation(
        runs=len(attempts),
        open=record.unconfirmed(),
        seeds=tuple(sorted({t.seed for t in attempts})),
        n_test=n_test,
        arms=arms,
        comparisons=corrected([*found, *(one for one in beside.values() if one)]),
    )


def _chosen(record: StudyRecord) -> dict[str, TrialRecord | None]:
    """Arm -> the trial of the search that it trains again: leaders by their rank there, then the controls,
    as the specification has them."""
    arms = {str(t.arm) for t in record.confirmation}
    slots = {slot for arm in arms if (slot := leader_slot(arm)) is not None}
    trials = deciding(t for t in (*record.trials, *joined(record.trials)) if t.slot in slots)
    leaders = {leader_arm(t.slot): t for t in best_first(trials, record.spec.compared)}
    return {**leaders, **dict.fromkeys(arm.name for arm in record.spec.arms if arm.name in arms)}


def _arm(
    arm: str,
    trials: Sequence[TrialRecord],
    chosen: TrialRecord | None,
    n_test: int,
    base_cost: float | None,
) -> ConfirmedArm:
    test, val = errors_on_test(trials), errors_on_validation(trials)
    search_val = at_the_end(chosen, ERROR) if chosen else None
    test_mean = mean(test)
    return ConfirmedArm(
        arm=arm,
        slot=chosen.slot if chosen else None,
        params=dict(chosen.params) if chosen else {},
        **ends(trials, len(test)),
        test=test,
        val=val,
        test_mean=test_mean,
        test_sd=sd(test),
        val_mean=mean(val),
        val_sd=sd(val),
        test_se=sampling_error(test_mean, n_test),
        cost_factor=ratio(mean_of(trials, COST), base_cost),
        search_val=search_val,
        optimism=None if search_val is None else paired(val, [replace(v, value=search_val) for v in val]),
    )
