"""Confirmations of synthetic studies, with test errors that the test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reprtune.record.schema import StudyRecord, TrialRecord
from tests.factories import make_study, make_trial
from tests.flat import with_attempts

Errors = Mapping[str, Sequence[float | str]]


def make_run(record: StudyRecord, number: int, arm: str, seed: int, test: float | str) -> TrialRecord:
    """One run of an arm; its test error, or its outcome where it has none."""
    outcome = test if isinstance(test, str) else "complete"
    trial = make_trial(record.spec, number, outcome, arm=arm, seed=seed, params={})
    result = {
        **trial.result,
        **({} if isinstance(test, str) else {"test_error": test, "test_loss": 2 * test}),
    }
    values = None if isinstance(test, str) else {"val_error": test + 0.01}
    return replace(trial, settings={}, result=result, values=values)


def confirmed(record: StudyRecord, errors: Errors, *, first_seed: int = 3) -> StudyRecord:
    """The study with a confirmation: arm -> test errors (or outcomes), by seed from `first_seed` on."""
    cells = [(arm, first_seed + i, e) for arm, found in errors.items() for i, e in enumerate(found)]
    runs = [make_run(record, n, arm, seed, e) for n, (arm, seed, e) in enumerate(cells)]
    return with_attempts(record, confirmation=tuple(runs))


def searched(*errors: float, **fields: object) -> StudyRecord:
    """A finished study whose complete trials have these validation errors, slot by slot."""
    record = make_study(len(errors), outcomes=("complete",), extras=(), **fields)  # type: ignore[arg-type]
    trials = tuple(
        replace(t, values={"val_error": e, "train_gflops": 10.0 + t.slot})
        for t, e in zip(record.trials, errors, strict=True)
    )
    return with_attempts(record, trials=trials)
