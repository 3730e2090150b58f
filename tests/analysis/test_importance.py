"""Importance: what it answers, when it declines, and that it finds a planted cause."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from reprtune.analysis import importance, rebuilt
from reprtune.analysis.importance import METHODS, importances
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Choice, FloatRange, IntRange
from tests.factories import make_study


def with_values(record: StudyRecord, value) -> StudyRecord:
    """The same study with `value(params)` as the validation error of every complete trial."""
    trials = tuple(
        replace(t, values={**t.values, "val_error": value(t.params)}) if t.values else t
        for t in record.trials
    )
    return replace(record, trials=trials)


@pytest.mark.parametrize("method", METHODS)
def test_the_only_cause_gets_the_largest_share(method):
    """When the error depends on the prune ratio alone, both methods rank it first."""
    record = with_values(
        make_study(80, outcomes=("complete",), extras=()), lambda p: (p["prune_ratio"] - 0.1) / 10
    )
    answer = next(a for a in importances(record).answers if a.method == method and a.objective == "val_error")
    assert max(answer.shares, key=answer.shares.get) == "prune_ratio"
    assert answer.shares["prune_ratio"] > 0.5
    assert math.isclose(sum(answer.shares.values()), 1)
    assert answer.n == 80


def test_a_lower_error_is_the_better_one():
    """PED-ANOVA looks at the low end: a parameter that only matters among the worst is not its leader."""

    def error(params):  # the criterion `random` is always terrible; among the rest only cycles matter
        return 0.9 if params["criterion"] == "random" else params["cycles"] / 100

    answers = importances(with_values(make_study(120, outcomes=("complete",)), error)).answers
    ped = next(a for a in answers if a.method == "ped-anova" and a.objective == "val_error")
    assert max(ped.shares, key=ped.shares.get) == "cycles"


@pytest.mark.parametrize(("n", "words"), [(0, "are none"), (1, "is 1"), (9, "are 9")])
def test_few_complete_trials_give_a_reason_instead(n, words):
    """Below ten complete trials there is a sentence and no number."""
    record = make_study(n, outcomes=("complete",), extras=())
    for answer in importances(record).answers:
        assert answer.shares is None
        assert words in answer.reason
        assert "at least 10" in answer.reason


def test_a_constant_objective_gives_a_reason_instead():
    """When all trials are equally good there is nothing to share out."""
    record = with_values(make_study(20, outcomes=("complete",)), lambda _: 0.1)
    error = [a for a in importances(record).answers if a.objective == "val_error"]
    assert all(a.shares is None and "same val_error" in a.reason for a in error)


def test_counts_stand_beside_the_answers():
    """Stopped, diverged and failed trials are counted, and are not looked at."""
    record = make_study(20, outcomes=("complete", "stopped", "diverged", "error"), extras=("lost",))
    found = importances(record)
    assert (found.n_complete, found.n_stopped, found.n_diverged, found.n_failed) == (6, 5, 5, 6)


def test_fanova_sees_at_most_its_limit(monkeypatch):
    """Large studies are thinned for fANOVA, the same way each time; PED-ANOVA sees all."""
    monkeypatch.setattr(importance, "MAX_FANOVA", 12)
    record = make_study(30, outcomes=("complete",), extras=())
    first, second = importances(record), importances(record)
    assert [a.n for a in first.answers if a.method == "fanova"] == [12, 12]
    assert [a.n for a in first.answers if a.method == "ped-anova"] == [30, 30]
    assert first == second


@pytest.mark.parametrize(("n", "share"), [(10, 0.5), (25, 0.2), (80, 0.1)])
def test_ped_anova_has_at_least_five_best_trials(n, share):
    """The best are 10 % of the trials, or five where that is more."""
    record = make_study(n, outcomes=("complete",), extras=())
    assert [a.best_share for a in importances(record).answers if a.method == "ped-anova"] == [share, share]


@pytest.mark.parametrize(
    "range_",
    [
        IntRange(low=1, high=9, step=2),
        IntRange(low=3, high=3),
        FloatRange(low=0.1, high=0.95, step=0.1),
        FloatRange(low=0.001, high=0.5, log=True),
        Choice(options=("a", "b", 3, True)),
    ],
)
def test_every_kind_of_range_becomes_a_distribution_that_holds_its_ends(range_):
    """Optuna accepts each range's own ends as values of the distribution made from it."""
    distribution = rebuilt.distribution(range_)
    for value in range_.ends():
        assert distribution._contains(distribution.to_internal_repr(value))


def test_optuna_keeps_its_own_verbosity():
    """Building the study in memory says nothing and leaves the log level as it was."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    importances(make_study(12, outcomes=("complete",), extras=()))
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR
    optuna.logging.set_verbosity(optuna.logging.INFO)
