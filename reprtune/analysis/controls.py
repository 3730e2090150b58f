"""Arms: every one over its seeds, and its paired differences to the arms that it must be compared with.

Arms are declared before anything is trained, so that they are judged on the test part, which is measured once, at the
end of each run. Where some run has no test error (data without a test part, records of earlier versions), differences are
those of validation errors, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reprtune.analysis.attempts import deciding
from reprtune.analysis.looks import Pair, beside, looks
from reprtune.analysis.paired import Comparison, SeedValue, corrected
from reprtune.analysis.runs import (
    chance_error,
    compare,
    ends,
    errors_on_test,
    errors_on_validation,
    is_more,
    mean,
    mean_of,
    mean_steps,
    ratio,
    sd,
)
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.edit import changed
from reprtune.spec.objectives import COST, SIZES


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm.

    Attributes:
        n: complete runs. n_diverged, n_failed, n_open: the others; open = waiting or running.
        errors: on the validation part, of the complete runs. mean, sd: over them; sd needs two.
        test: errors on the test part, of those where it was measured. test_mean, test_sd: the same of them.
        cost_factor, budget_factor: mean training cost, and steps of all networks of a trial (and of the trials that it
            began from), relative to the standard arm.
        sizes: of the networks that came out, by the names of objectives, means.
        against: beside every arm that it is compared with, the most telling first: those that it names, else
            standard. Never one that was trained for less than it was. All of a study are one family, but for what was
            explored.
    """

    arm: str
    n: int
    n_diverged: int
    n_failed: int
    n_open: int
    errors: tuple[SeedValue, ...]
    mean: float | None
    sd: float | None
    test: tuple[SeedValue, ...]
    test_mean: float | None
    test_sd: float | None
    cost_factor: float | None
    budget_factor: float | None
    sizes: Mapping[str, float | None]
    against: tuple[Comparison, ...]


def arm_summaries(record: StudyRecord) -> list[ArmSummary]:
    """Every arm of the specification, in its order."""
    of_arm, controls = _trials_of_arms(record), compared_with(record)
    steps = {name: _mean_steps(record, name, trials) for name, trials in of_arm.items()}
    looked = {pair: one.comparison for pair, one in looks(record).items() if one.made}
    found = [_summary(record, arm, of_arm, steps, controls[arm], looked) for arm in of_arm]
    family = iter(corrected([one for arm in found for one in arm.against]))
    return [replace(arm, against=tuple(next(family) for _ in arm.against)) for arm in found]


def compared_with(record: StudyRecord) -> dict[str, tuple[str, ...]]:
    """Arm -> the arms that it is compared with: those that it names, else standard, but none that was trained for
    less than it was. Plain training of another length is what others are held against, and claims nothing."""
    steps = {name: _mean_steps(record, name, trials) for name, trials in _trials_of_arms(record).items()}
    standard = (BASELINE,) if BASELINE in steps else ()
    return {
        arm.name: tuple(
            other
            for other in arm.controls(() if arm.name in record.spec.lengths else standard)
            if other != arm.name and not is_more(steps[arm.name], steps[other])
        )
        for arm in record.spec.arms
    }


def _trials_of_arms(record: StudyRecord) -> dict[str, list[TrialRecord]]:
    """Every arm of the specification, in its order."""
    attempts = deciding(record.controls)
    return {arm.name: [t for t in attempts if t.arm == arm.name] for arm in record.spec.arms}


def _mean_steps(record: StudyRecord, arm: str, trials: Sequence[TrialRecord]) -> float | None:
    spec = next(changed(record.spec.base, one.changes) for one in record.spec.arms if one.name == arm)
    return mean_steps(record, spec, trials)


def _summary(
    record: StudyRecord,
    arm: str,
    of_arm: Mapping[str, Sequence[TrialRecord]],
    steps: Mapping[str, float | None],
    controls: Sequence[str],
    looked: Mapping[Pair, Comparison],
) -> ArmSummary:
    trials, base, explored = of_arm[arm], of_arm.get(BASELINE, []), record.spec.explored
    errors, test = errors_on_validation(trials), errors_on_test(trials)
    chance = chance_error(record)
    return ArmSummary(
        arm=arm,
        **ends(trials, len(errors)),
        errors=errors,
        mean=mean(errors),
        sd=sd(errors),
        test=test,
        test_mean=mean(test),
        test_sd=sd(test),
        cost_factor=ratio(mean_of(trials, COST), mean_of(base, COST)),
        sizes={name: mean_of(trials, name) for name in SIZES},
        budget_factor=ratio(steps[arm], steps.get(BASELINE)),
        against=tuple(
            replace(
                looked.get((arm, name))
                or _beside(record, (arm, name))
                or compare(arm, name, trials, of_arm[name], chance),
                explored=not explored.isdisjoint((arm, name)),
            )
            for name in controls
        ),
    )


def _beside(record: StudyRecord, pair: Pair) -> Comparison | None:
    found = beside(record, pair)
    return None if found is None else found.comparison
