"""The runs of an arm in numbers: errors by seed, means, what training took; and two arms compared by them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from reprtune.analysis.paired import Comparison, SeedValue, compared
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import ERROR
from reprtune.spec.trial import TrialSpec

ROUNDING = 1.01  # budgets that differ by less are the same: a cycle is whole steps


def compare(
    arm: str,
    control: str,
    ours: Sequence[TrialRecord],
    theirs: Sequence[TrialRecord],
    chance: float | None,
    *,
    measured_on: str = "",
) -> Comparison:
    """The trials of two arms by their errors on one part of the data, or where none is given by test errors where both have
    them, else validation errors; `p_holm` is left out."""
    measured_on = measured_on or _measured_on(ours, theirs)
    read = errors_on_test if measured_on == "test" else errors_on_validation
    diverged = chance is not None and any(t.outcome == Outcome.DIVERGED for t in (*ours, *theirs))
    both = (read(ours, chance), read(theirs, chance)) if diverged else None
    return compared(arm, control, read(ours), read(theirs), measured_on=measured_on, with_chance=both)


def _measured_on(*arms: Sequence[TrialRecord]) -> str:
    """`test` where every complete run has a test error, else `validation`, which all have."""
    on_test = all(len(errors_on_test(trials)) == len(errors_on_validation(trials)) for trials in arms)
    return "test" if on_test else "validation"


def errors_on_validation(trials: Sequence[TrialRecord], chance: float | None = None) -> tuple[SeedValue, ...]:
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


def chance_error(record: StudyRecord) -> float | None:
    """Of a network that has learnt nothing; None where the number of classes is not known."""
    classes = record.facts.get("n_classes")
    return 1 - 1 / classes if classes else None


def mean(values: Sequence[SeedValue]) -> float | None:
    """None without any."""
    return statistics.fmean(v.value for v in values) if values else None


def sd(values: Sequence[SeedValue]) -> float | None:
    """Of a sample; None with fewer than two."""
    return statistics.stdev(v.value for v in values) if len(values) > 1 else None


def ends(trials: Sequence[TrialRecord], n_complete: int) -> dict[str, int]:
    """How many runs are complete, diverged, failed and open, by the names that summaries give them."""
    n_diverged = sum(t.outcome == Outcome.DIVERGED for t in trials)
    n_open = sum(t.outcome.is_open for t in trials)
    n_failed = len(trials) - n_complete - n_diverged - n_open
    return {"n": n_complete, "n_diverged": n_diverged, "n_failed": n_failed, "n_open": n_open}


def sampling_error(error: float | None, n_images: int) -> float | None:
    """Standard error that the number of images leaves in one error; None of an error of 0 or 1."""
    if error is None or not 0 < error < 1 or not n_images:
        return None
    return math.sqrt(error * (1 - error) / n_images)


def mean_of(trials: Sequence[TrialRecord], measure: str) -> float | None:
    """Over the complete ones."""
    found = [value for t in trials if (value := at_the_end(t, measure)) is not None]
    return statistics.fmean(found) if found else None


def ratio(value: float | None, base: float | None) -> float | None:
    """None where one of them is not known, or the base is 0."""
    return value / base if value is not None and base else None


def mean_steps(record: StudyRecord, spec: TrialSpec, trials: Sequence[TrialRecord]) -> float | None:
    """Steps of all networks of a trial, and of those that were trained, elsewhere, for what it began from."""
    whole = spec.after.training.total.steps(record.facts["steps_per_epoch"])  # of one read without its curve
    steps = [t.last_step or whole for t in trials if t.outcome == "complete"]
    if not steps:
        return None
    return statistics.fmean(steps) * spec.method.n_members + _steps_before(record, spec)


def _steps_before(record: StudyRecord, spec: TrialSpec) -> int:
    """What stands in `model.weights` has cost, as it was found at create; 0 for new weights."""
    if spec.model.weights is None:
        return 0
    return int(record.facts.get("weights", {}).get(spec.model.weights, {}).get("steps", 0))


def is_more(ours: float | None, theirs: float | None) -> bool:
    """Has an arm had more steps than another?"""
    return ours is not None and theirs is not None and ours > ROUNDING * theirs
