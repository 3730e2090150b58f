"""Importance: what it answers, when it declines, and that it finds a planted cause."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.truth import fabricated
from reprtune.analysis import chance, importance, rebuilt
from reprtune.analysis.evaluators import METHODS
from reprtune.analysis.importance import importances, no_effect
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
    """Stopped, diverged and failed trials are counted."""
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


def test_a_parameter_that_never_varies_is_left_out_with_a_sentence():
    """It has no share, and the others' shares still add up to 1."""
    record = make_study(20, outcomes=("complete",), extras=())
    trials = tuple(replace(t, params={**t.params, "cycles": 2}) for t in record.trials)
    for answer in importances(with_attempts(record, trials=trials)).answers:
        assert set(answer.shares) == set(record.spec.params) - {"cycles"}
        assert math.isclose(sum(answer.shares.values()), 1)
        assert answer.left_out == {"cycles": "cycles was 2 in every trial, so nothing can be said of it."}


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
    monkeypatch.setattr(importance, "shares", lambda *_, **__: 1 / 0)
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


def test_trials_without_an_error_are_ranked_below_all_that_have_one():
    """Optuna itself, told that stopped and diverged trials ended with an error of 9, gives the same shares for the
    error; for the cost, and in fANOVA, they are not seen."""
    import optuna

    record = with_values(
        make_study(60, outcomes=("complete", "stopped", "complete", "diverged"), extras=()),
        lambda p: p["prune_ratio"] / 10 + p["cycles"] / 1000,
    )
    answers = {(a.objective, a.method): a for a in importances(record).answers}
    ped = answers["val_error", "ped-anova"]
    assert (ped.n, ped.n_worse) == (30, 30)
    assert {(k, a.n_worse) for k, a in answers.items() if a.n_worse} == {(("val_error", "ped-anova"), 30)}
    rows = [
        (tuple(t.params.items()), t.values["val_error"] if t.values else 9.0)
        for t in record.trials
        if t.outcome in {"complete", "stopped", "diverged"}
    ]
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.1)  # 6 of 60
    study = rebuilt.as_study(rows, record.spec.params)
    assert ped.shares == pytest.approx(optuna.importance.get_param_importances(study, evaluator=evaluator))


def test_the_best_are_at_most_half_of_the_complete_trials():
    """Of 20 complete and 180 stopped trials the best are 10, not 20; of 10 complete ones five."""
    assert importance._best_share(20, 180) * 200 == pytest.approx(10)
    assert importance._best_share(10, 90) * 100 == pytest.approx(5)
    assert importance._best_share(60, 60) * 120 == pytest.approx(12)


def test_a_setting_that_was_completed_elsewhere_is_no_worse_one():
    """A stopped slot that repeats another's settings is not counted again."""
    record = make_study(40, outcomes=("complete", "stopped"), extras=())
    trials = tuple(replace(t, repeats=0) if t.outcome == "stopped" else t for t in record.trials)
    seen = importance.seen_by(with_attempts(record, trials=trials), "val_error", "ped-anova")
    assert seen.worse == () and len(importance.seen_by(record, "val_error", "ped-anova").worse) == 20


def test_what_optuna_dashboard_puts_first_is_told_where_it_is_another():
    """Of 20 trials its default looks at the best two, this at the best five: the two settle on another parameter."""
    import optuna

    record = fabricated.record(
        fabricated.search(lambda _, rng: float(rng.normal()), 20, np.random.default_rng(4))
    )
    told = set()
    for answer in importances(record).answers:
        study = rebuilt.as_study(importance.rows(record, answer.objective), record.spec.params)
        default = next(iter(optuna.importance.get_param_importances(study)))  # largest first
        if answer.method == "ped-anova":
            told.add(answer.elsewhere)
            assert answer.elsewhere == (None if answer.first == default else default)
        else:
            assert answer.elsewhere is None
    assert told != {None}


@pytest.fixture
def surer(monkeypatch):
    """As many exchanges of outcomes as the product makes."""
    monkeypatch.setattr(chance, "N_EXCHANGES", {"ped-anova": 120, "fanova": 40})
    importance._importance.cache_clear()


@pytest.mark.usefixtures("surer")
def test_no_effect_is_told_from_an_effect():
    """An error by the prune ratio has one, an error of noise has none, and few trials do not tell."""
    record = make_study(40, outcomes=("complete",), extras=(), objectives=("val_error",))
    rng = np.random.default_rng(1)
    assert no_effect(with_values(record, lambda p: p["prune_ratio"] / 10)) is False
    assert no_effect(with_values(record, lambda _: float(rng.normal()))) is True
    assert no_effect(make_study(19, outcomes=("complete",), extras=())) is None


def test_a_parameter_is_shown_where_p_is_small():
    """Below 0.05, largest share first."""
    answer = importance.Importance(
        objective="val_error",
        method="fanova",
        n=9,
        shares={"a": 0.2, "b": 0.5, "c": 0.3},
        p={"a": 0.01, "b": 0.05, "c": 0.049},
    )
    assert (answer.first, answer.shown) == ("b", ("c", "a"))
