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
from tests.flat import with_attempts


def with_values(record: StudyRecord, value) -> StudyRecord:
    """The same study with `value(params)` as the validation error of every complete trial."""
    trials = tuple(
        replace(t, values={**t.values, "val_error": value(t.params)}) if t.values else t
        for t in record.trials
    )
    return with_attempts(record, trials=trials)


@pytest.mark.parametrize("method", METHODS)
def test_the_only_cause_gets_the_largest_share(method):
    """When the error depends on the prune ratio alone, both methods rank it first."""
    record = with_values(
        make_study(80, outcomes=("complete",), extras=(), objectives=("val_error",)),
        lambda p: (p["prune_ratio"] - 0.1) / 10,
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

    answers = importances(
        with_values(make_study(120, outcomes=("complete",), objectives=("val_error",)), error)
    ).answers
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
    assert importance._best_share(n) == share
    if n == 10:
        answers = importances(make_study(n, outcomes=("complete",), extras=())).answers
        assert [a.best_share for a in answers] == [share, None, share, None]


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


@pytest.fixture(autouse=True)
def _fresh():
    """Answers of other tests, perhaps under other limits, are forgotten."""
    importance._importance.cache_clear()


def error_by_ratio(params) -> float:
    return params["prune_ratio"] / 10


def test_the_range_of_a_sure_leader_lies_above_the_others(monkeypatch):
    """Where the error is the prune ratio alone, its share leads in at least 95 % of 100 halves."""
    monkeypatch.setattr(importance, "N_HALVES", {"ped-anova": 100, "fanova": 3})
    record = with_values(
        make_study(80, outcomes=("complete",), extras=(), objectives=("val_error",)), error_by_ratio
    )
    answer = next(a for a in importances(record).answers if a.method == "ped-anova")
    leader = answer.stability["prune_ratio"]
    assert (answer.n_halves, answer.half) == (100, 40)
    assert leader.rank_high == 1
    assert all(leader.low > s.high for name, s in answer.stability.items() if name != "prune_ratio")


@pytest.mark.parametrize("method", METHODS)
def test_a_range_is_that_of_optuna_s_answers_from_the_same_halves(method, monkeypatch):
    """Halves drawn as stated, answered by Optuna directly, have the stated 5 % and 95 %."""
    import random

    import numpy as np
    import optuna

    monkeypatch.setattr(importance, "N_HALVES", {"ped-anova": 6, "fanova": 6})
    record = with_values(
        make_study(40, outcomes=("complete",), extras=(), objectives=("val_error",)), error_by_ratio
    )
    answer = next(a for a in importances(record).answers if a.method == method)
    rng, rows, found = random.Random(0), importance.rows(record, "val_error"), []
    for i in range(6):
        study = rebuilt.as_study(rng.sample(rows, 20), record.spec.params)
        evaluator = (
            optuna.importance.FanovaImportanceEvaluator(n_trees=16, seed=i)
            if method == "fanova"
            else optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        )
        found.append(optuna.importance.get_param_importances(study, evaluator=evaluator)["cycles"])
    stated = answer.stability["cycles"]
    assert (stated.low, stated.high) == pytest.approx(tuple(np.quantile(found, (0.05, 0.95))))


def test_halves_are_cut_to_their_limit(monkeypatch):
    """Above it the range is of smaller parts, whose size is stated."""
    monkeypatch.setattr(importance, "MAX_HALF", {"ped-anova": 11, "fanova": 7})
    found = importances(make_study(30, outcomes=("complete",), extras=())).answers
    assert [a.half for a in found] == [11, 7, 11, 7]


def test_ranks_by_hand():
    """Shares 0.5, 0.2, 0.2, 0.1 have ranks 1, 2.5, 2.5, 4."""
    ranks = importance._ranks({"a": 0.5, "b": 0.2, "c": 0.2, "d": 0.1})
    assert ranks == {"a": 1, "b": 2.5, "c": 2.5, "d": 4}


def test_a_parameter_that_never_varies_is_left_out_with_a_sentence():
    """It has no share, and the others' shares still add up to 1."""
    record = make_study(20, outcomes=("complete",), extras=())
    trials = tuple(replace(t, params={**t.params, "cycles": 2}) for t in record.trials)
    for answer in importances(with_attempts(record, trials=trials)).answers:
        assert set(answer.shares) == set(record.spec.params) - {"cycles"}
        assert math.isclose(sum(answer.shares.values()), 1)
        assert answer.left_out == {
            "cycles": "cycles was 2 in every complete trial, so nothing can be said of it."
        }


def test_a_conditional_parameter_is_judged_by_ped_anova_alone():
    """Drawn in some trials only, it has a share of PED-ANOVA, and fANOVA says why it has none."""
    record = make_study(30, outcomes=("complete",), extras=())
    trials = tuple(
        replace(t, params={k: v for k, v in t.params.items() if k != "s2_epochs" or i % 2})
        for i, t in enumerate(record.trials)
    )
    for answer in importances(with_attempts(record, trials=trials)).answers:
        assert answer.n == 30
        if answer.method == "fanova":
            assert "15 of 30 trials only" in answer.left_out["s2_epochs"]
        else:
            assert "s2_epochs" in answer.shares


def test_no_parameter_that_varies_gives_a_reason_instead():
    """When every trial has the same settings there is nothing to compare."""
    record = make_study(20, outcomes=("complete",), extras=())
    trials = tuple(replace(t, params=record.trials[0].params) for t in record.trials)
    answers = importances(with_attempts(record, trials=trials)).answers
    assert all(a.shares is None and "more than one value" in a.reason for a in answers)


def test_equal_content_is_computed_once(monkeypatch):
    """A second page of the same report asks Optuna nothing."""
    record = make_study(16, outcomes=("complete",), extras=())
    first = importances(record)
    monkeypatch.setattr(importance, "_shares", lambda *_: 1 / 0)
    assert importances(record) == first


def test_the_leading_parameters_are_those_with_the_largest_share():
    """Across all answers, largest first, as many as asked for."""
    answer = importance.Importance(objective="val_error", method="fanova", n=9)
    answers = (
        replace(answer, shares={"a": 0.1, "b": 0.7, "c": 0.2}),
        replace(answer, shares={"a": 0.6, "b": 0.1, "c": 0.3}),
        replace(answer, shares=None),
    )
    found = importance.Importances(n_complete=9, n_stopped=0, n_diverged=0, n_failed=0, answers=answers)
    assert importance.leading(found, 2) == ("b", "a")
