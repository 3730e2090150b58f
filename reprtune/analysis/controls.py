"""Arms: every one over its seeds, and its paired differences to the arms that it must be compared with.

Arms are declared before anything is trained, so that they are judged on the test part, which is measured once, at the
end of each run. Where some run has no test error (data without a test part, records of earlier versions), differences are
those of validation errors, and say so.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reprtune.analysis.attempts import deciding
from reprtune.analysis.paired import Comparison, SeedValue, compared, corrected
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.edit import changed
from reprtune.spec.objectives import COST, ERROR, SIZES
from reprtune.spec.trial import TrialSpec

BASELINE = "standard"
ROUNDING = 1.01  # budgets that differ by less are the same: a cycle is whole steps


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
            standard. Never one that was trained for less than it was. All of a study are one family.
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
    found = [_summary(record, arm, of_arm, steps, controls[arm]) for arm in of_arm]
    family = iter(corrected([one for arm in found for one in arm.against]))
    return [replace(arm, against=tuple(next(family) for _ in arm.against)) for arm in found]


def compared_with(record: StudyRecord) -> dict[str, tuple[str, ...]]:
    """Arm -> the arms that it is compared with: those that it names, else standard, but none that was trained for
    less than it was."""
    steps = {name: _mean_steps(record, name, trials) for name, trials in _trials_of_arms(record).items()}
    standard = (BASELINE,) if BASELINE in steps else ()
    return {
        arm.name: tuple(
            other
            for other in arm.against or standard
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
) -> ArmSummary:
    trials, base = of_arm[arm], of_arm.get(BASELINE, [])
    errors, test = errors_at_the_end(trials), errors_on_test(trials)
    outcomes = [t.outcome for t in trials]
    n_open = sum(o.is_open for o in outcomes)
    chance = chance_error(record)
    return ArmSummary(
        arm=arm,
        n=len(errors),
        n_diverged=outcomes.count(Outcome.DIVERGED),
        n_failed=len(outcomes) - len(errors) - outcomes.count(Outcome.DIVERGED) - n_open,
        n_open=n_open,
        errors=errors,
        mean=mean(errors),
        sd=sd(errors),
        test=test,
        test_mean=mean(test),
        test_sd=sd(test),
        cost_factor=ratio(mean_of(trials, COST), mean_of(base, COST)),
        sizes={name: mean_of(trials, name) for name in SIZES},
        budget_factor=ratio(steps[arm], steps.get(BASELINE)),
        against=tuple(_against(name, arm, trials, of_arm[name], chance) for name in controls),
    )


def is_more(ours: float | None, theirs: float | None) -> bool:
    """Has an arm had more steps than another?"""
    return ours is not None and theirs is not None and ours > ROUNDING * theirs


def _against(
    control: str, arm: str, ours: Sequence[TrialRecord], theirs: Sequence[TrialRecord], chance: float | None
) -> Comparison:
    return compare(arm, control, ours, theirs, chance, on=part_of(ours, theirs))


def part_of(*arms: Sequence[TrialRecord]) -> str:
    """`test` where every complete run has a test error, else `validation`, which all have."""
    on_test = all(len(errors_on_test(trials)) == len(errors_at_the_end(trials)) for trials in arms)
    return "test" if on_test else "validation"


def compare(
    arm: str,
    control: str,
    ours: Sequence[TrialRecord],
    theirs: Sequence[TrialRecord],
    chance: float | None,
    *,
    on: str = "test",
) -> Comparison:
    """The trials of two arms by their errors on one part; `p_holm` is left out."""
    read = errors_on_test if on == "test" else errors_at_the_end
    diverged = chance is not None and any(t.outcome == Outcome.DIVERGED for t in (*ours, *theirs))
    both = (read(ours, chance), read(theirs, chance)) if diverged else None
    return compared(arm, control, read(ours), read(theirs), on=on, with_chance=both)


def errors_at_the_end(trials: Sequence[TrialRecord], chance: float | None = None) -> tuple[SeedValue, ...]:
    """Validation errors by seed, of complete runs; with `chance`, diverged runs count with it."""
    return _by_seed(trials, [at_the_end(t, ERROR) for t in trials], chance)


def errors_on_test(trials: Sequence[TrialRecord], chance: float | None = None) -> tuple[SeedValue, ...]:
    """Test errors by seed, of complete runs where it was measured; with `chance`, diverged runs count with it."""
    found = [t.result.get("test_error") if t.outcome == Outcome.COMPLETE else None for t in trials]
    return _by_seed(trials, found, chance)


def _by_seed(
    trials: Sequence[TrialRecord], errors: Sequence[float | None], chance: float | None
) -> tuple[SeedValue, ...]:
    found = {}
    for trial, error in zip(trials, errors, strict=True):
        value = chance if trial.outcome == Outcome.DIVERGED else error
        if value is not None:
            found[trial.seed] = SeedValue(seed=trial.seed, value=float(value))
    return tuple(found[seed] for seed in sorted(found))


def mean(values: Sequence[SeedValue]) -> float | None:
    """None without any."""
    return statistics.fmean(v.value for v in values) if values else None


def sd(values: Sequence[SeedValue]) -> float | None:
    """Of a sample; None with fewer than two."""
    return statistics.stdev(v.value for v in values) if len(values) > 1 else None


def chance_error(record: StudyRecord) -> float | None:
    classes = record.facts.get("n_classes")
    return 1 - 1 / classes if classes else None


def mean_of(trials: Sequence[TrialRecord], measure: str) -> float | None:
    """Over the complete ones."""
    found = [value for t in trials if (value := at_the_end(t, measure)) is not None]
    return statistics.fmean(found) if found else None


def mean_steps(record: StudyRecord, spec: TrialSpec, trials: Sequence[TrialRecord]) -> float | None:
    """Steps of all networks of a trial, and of those that were trained, elsewhere, for what it began from."""
    whole = spec.training.total.steps(
        record.facts["steps_per_epoch"]
    )  # of one that was read without its curve
    steps = [t.last_step or whole for t in trials if t.outcome == "complete"]
    if not steps:
        return None
    return statistics.fmean(steps) * spec.method.n_members + _steps_before(record, spec)


def _steps_before(record: StudyRecord, spec: TrialSpec) -> int:
    """What stands in `model.weights` has cost, as it was found at create; 0 for new weights."""
    if spec.model.weights is None:
        return 0
    return int(record.facts.get("weights", {}).get(spec.model.weights, {}).get("steps", 0))


def ratio(value: float | None, base: float | None) -> float | None:
    """None where one of them is not known, or the base is 0."""
    return value / base if value is not None and base else None
