"""What is taken from a stored study for its plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from reprtune.analysis.plan import measured_sd
from reprtune.record.schema import StudyRecord
from tests.factories import comparison
from tests.flat import with_attempts


def with_test_errors(errors: Mapping[str, Sequence[float]]) -> StudyRecord:
    """A comparison of arms with these test errors by seed."""
    record = comparison(control_seeds=tuple(range(len(next(iter(errors.values()))))))
    made = [
        replace(t, values={"val_error": 0.1}, result={**t.result, "test_error": errors[str(t.arm)][t.seed]})
        for t in record.controls
    ]
    return with_attempts(record, controls=made)


def test_the_sd_is_that_of_all_rules() -> None:
    """The root of the mean variance of the paired differences, as numpy has it."""
    draws = np.random.default_rng(0)
    arms = {arm.name for arm in comparison().spec.arms}
    errors = {arm: list(0.1 + 0.01 * draws.standard_normal(6)) for arm in sorted(arms)}
    record = with_test_errors(errors)
    rules = record.spec.applied_rules
    assert len(rules) > 1
    variances = [np.var(np.subtract(errors[r.arm], errors[r.control]), ddof=1) for r in rules]
    assert measured_sd(record) == pytest.approx(math.sqrt(np.mean(variances)))


def test_two_seeds_say_nothing_of_the_sd() -> None:
    """No interval, no sd."""
    arms = {arm.name for arm in comparison().spec.arms}
    assert measured_sd(with_test_errors({arm: [0.1, 0.2] for arm in arms})) is None
