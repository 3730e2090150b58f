"""How well settings tell the end: against a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.truth import fabricated
from reprtune.analysis import predictability as module
from reprtune.analysis.predictability import LITTLE, features, predictability
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Choice, FloatRange, IntRange


def study(n: int, effect: float, seed: int = 0) -> StudyRecord:
    """The error is `effect` times the cycles, plus noise of 1."""
    return fabricated.record(
        fabricated.search(lambda p, rng: effect * p["cycles"] + rng.normal(), n, np.random.default_rng(seed))
    )


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_not_predictable_and_an_effect_is(seed):
    """Of 80 trials noise has an R^2 below 0.1, and an effect that is 0.97 of the variance one above 0.8."""
    assert predictability(study(80, 0.0, seed)) < LITTLE
    assert predictability(study(80, 6.0, seed)) > 0.8


def test_a_choice_predicts_too():
    """An error that hangs on the criterion alone."""
    record = fabricated.record(
        fabricated.search(lambda p, _: float(p["criterion"] == "l2"), 60, np.random.default_rng(1))
    )
    assert predictability(record) > 0.8


def test_few_trials_or_equal_ends_tell_nothing():
    """None below 20 complete trials, and where all ended alike."""
    assert predictability(study(19, 1.0)) is None
    assert predictability(study(20, 1.0)) is not None
    same = fabricated.record(fabricated.search(lambda *_: 0.5, 30, np.random.default_rng(0)))
    assert predictability(same) is None


def test_many_trials_are_thinned_the_same_way(monkeypatch):
    """A part of them answers, and always the same."""
    monkeypatch.setattr(module, "MAX_TRIALS", 40)
    record = study(60, 3.0)
    first = predictability(record)
    module._predictability.cache_clear()
    assert predictability(record) == first and first > 0.5
    module._predictability.cache_clear()


def test_features_by_hand():
    """Numbers, logarithms, a column for each option, and whether a parameter was drawn."""
    params = {
        "a": IntRange(low=1, high=9),
        "b": FloatRange(low=1, high=100, log=True),
        "c": Choice(options=("x", "y")),
    }
    drawn = [{"a": 2, "b": 1.0, "c": "y"}, {"b": np.e, "c": "x"}, {"a": 4, "b": 1.0}]
    assert features(drawn, params) == pytest.approx(
        np.array([[2, 1, 0, 0, 1], [3, 0, 1, 1, 0], [4, 1, 0, 0, 0]], float)
    )


def test_a_conditional_parameter_is_no_obstacle():
    """Where half of the trials lack a parameter, the others still tell."""
    record = study(60, 6.0)
    trials = [
        replace(t, params={k: v for k, v in t.params.items() if k != "s2_epochs" or t.number % 2})
        for t in record.trials
    ]
    assert predictability(fabricated.record(trials)) > 0.8
