"""Every check of a study's soundness fires where it must, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.truth import fabricated
from reprtune.analysis import health
from reprtune.analysis.check import Check
from reprtune.record.schema import StudyRecord
from tests.factories import comparison, make_study, make_trial
from tests.flat import with_attempts


def named(record: StudyRecord, name: str) -> Check:
    return next(check for check in health.checks(record) if check.name == name)


def test_a_study_has_the_checks_of_its_sections() -> None:
    """In their order; a comparison has none about a search, and none is named otherwise than it is listed."""
    names = list(health.CHECKS)
    assert [c.name for c in health.checks(make_study(3, extras=()))] == names[:-1]
    assert [c.name for c in health.checks(comparison())] == ["arms-divergence", "arms-seeds"]
    assert [c.name for c in health.checks(make_study(3, extras=(), controls=(), control_seeds=()))] == [
        name for name in names if "arms" not in name and name != "confirmation-seeds"
    ]


@pytest.mark.parametrize(("told", "outcome"), [(True, "warning"), (False, "ok"), (None, "not applicable")])
def test_no_effect(told: bool | None, outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns where no parameter is shown to matter."""
    monkeypatch.setattr(health, "no_effect", lambda _: told)
    record = make_study(5, outcomes=("complete",), extras=())
    assert named(record, "effect").outcome == outcome


def searching(truth: fabricated.Truth, n: int = 40) -> StudyRecord:
    return fabricated.record(fabricated.search(truth, n, np.random.default_rng(5)))


def test_ends_that_settings_tell_and_ends_that_they_do_not() -> None:
    """A slope with little noise, noise alone, and too few trials to tell."""
    slope = named(searching(lambda p, rng: 0.1 + 0.2 * p["prune_ratio"] + rng.normal(0, 0.002)), "prediction")
    noise = named(searching(lambda _, rng: rng.normal(0.1, 0.002)), "prediction")
    few = named(searching(lambda _, rng: rng.normal(0.1, 0.002), 10), "prediction")
    assert (slope.outcome, noise.outcome, few.outcome) == ("ok", "warning", "not applicable")
    assert slope.numbers["r2"] > 0.7 and noise.numbers["r2"] < 0.1


@pytest.mark.parametrize(("rung", "outcome"), [(2, "warning"), (None, "ok")])
def test_the_winner_would_be_stopped(rung: int | None, outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rung that the account of early stopping names."""
    monkeypatch.setattr(health, "winner_stopped", lambda _: rung)
    check = named(make_study(), "stopping")
    assert check.outcome == outcome
    assert (check.numbers["rung"], check.numbers["rule"], check.numbers["n_stopped"]) == (rung, "median", 9)


def test_a_winner_cannot_be_stopped_without_a_rule_or_a_winner() -> None:
    """Nothing is asked then."""
    from reprtune.spec.stop_rules import NoStop

    for record in (make_study(4, extras=(), stop=NoStop()), make_study(3, outcomes=("diverged",), extras=())):
        assert named(record, "stopping").outcome == "not applicable"


@pytest.mark.parametrize(
    ("n_infeasible", "outcome"), [(3, "not applicable"), (20, "ok"), (21, "warning"), (60, "warning")]
)
def test_most_draws_do_not_fit(n_infeasible: int, outcome: str) -> None:
    """More than two of three draws, of twenty at least, beside ten slots that fit."""
    record = make_study(10, outcomes=("complete",), extras=())
    again = [make_trial(record.spec, 10 + i, "infeasible", slot=i % 10) for i in range(n_infeasible)]
    check = named(with_attempts(record, trials=(*record.trials, *again)), "draws")
    assert check.outcome == outcome and check.numbers["n"] == 10 + n_infeasible


@pytest.mark.parametrize(
    ("n_repeats", "outcome"), [(0, "ok"), (1, "ok"), (2, "ok"), (3, "warning"), (12, "warning")]
)
def test_many_slots_have_the_settings_of_another(n_repeats: int, outcome: str) -> None:
    """More than a tenth of twenty slots."""
    record = make_study(20, outcomes=("complete",), extras=())
    trials = [replace(t, repeats=0) if 0 < t.slot <= n_repeats else t for t in record.trials]
    check = named(with_attempts(record, trials=trials), "repeats")
    assert check.outcome == outcome and check.numbers["n_repeats"] == n_repeats
    assert check.numbers["most"] == 11 * 9 * 6 * 4 * 4  # values of the five ranges


def test_a_healthy_study_has_no_warning() -> None:
    """Effects, seeds enough, no budget, nobody diverged."""
    rng = np.random.default_rng(2)
    truth = lambda p, r: 0.1 + 0.2 * p["prune_ratio"] + r.normal(0, 0.002)  # noqa: E731
    runs = fabricated.controls(0.13, 0.002, rng, ("standard", "paper", "random-drop"), range(5))
    record = fabricated.record(fabricated.search(truth, 40, rng), runs)
    failing = [c.name for c in health.checks(record) if c.fails and c.name != "effect"]
    assert failing == []  # `effect` is asked with few exchanges in tests, which show nothing
