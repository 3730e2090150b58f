"""How far an importance might lie elsewhere: around the share itself, and as far as random halves say."""

from __future__ import annotations

import random

import numpy as np
import optuna
import pytest

from benchmarks.truth import fabricated
from reprtune.analysis import ranges, rebuilt
from reprtune.analysis.evaluators import METHODS, shares
from reprtune.analysis.importance import seen_by
from reprtune.record.schema import StudyRecord
from studies.repr_ablation import STUDY

PARAMS = dict(STUDY.params)


def by_ratio(n: int, seed: int = 0, noise: float = 0.0) -> StudyRecord:
    """The error is the prune ratio, with noise."""
    return fabricated.record(
        fabricated.search(
            lambda p, rng: p["prune_ratio"] + noise * rng.normal(), n, np.random.default_rng(seed)
        )
    )


def answered(record: StudyRecord, method: str):
    """Shares, and what `ranges` says of them."""
    seen = seen_by(record, "val_error", method)
    whole = shares(seen.rows, PARAMS, seen.best_share)
    return whole, *ranges.stability(whole, seen.rows, PARAMS, method, seen.best_share, 0)


def test_the_range_of_a_sure_leader_lies_above_the_others(monkeypatch):
    """Where the error is the prune ratio alone, its share leads in at least 95 % of the answers."""
    monkeypatch.setattr(ranges, "N_HALVES", {"ped-anova": 100, "fanova": 3})
    _, found, n_halves, half = answered(by_ratio(80), "ped-anova")
    assert (n_halves, half) == (100, 40)
    leader = found.pop("prune_ratio")
    assert leader.rank_high == 1
    assert all(leader.low > s.high for s in found.values())


@pytest.mark.parametrize("method", METHODS)
def test_a_range_is_that_of_optuna_s_answers_from_the_same_halves(method, monkeypatch):
    """Halves drawn as stated, answered by Optuna directly: 1.645 of their standard deviations around the share."""
    monkeypatch.setattr(ranges, "N_HALVES", {"ped-anova": 6, "fanova": 6})
    record = by_ratio(40, noise=0.1)
    whole, stated, _, _ = answered(record, method)
    rng, rows, found = random.Random(0), seen_by(record, "val_error", method).rows, []
    for i in range(6):
        study = rebuilt.as_study(rng.sample(rows, 20), PARAMS)
        evaluator = (
            optuna.importance.FanovaImportanceEvaluator(n_trees=16, seed=i)
            if method == "fanova"
            else optuna.importance.PedAnovaImportanceEvaluator(target_quantile=5 / 40)
        )
        found.append(optuna.importance.get_param_importances(study, evaluator=evaluator)["cycles"])
    spread = 1.645 * np.std(found, ddof=1)
    ends = np.clip([whole["cycles"] - spread, whole["cycles"] + spread], 0, 1)
    assert (stated["cycles"].low, stated["cycles"].high) == pytest.approx(tuple(ends))


@pytest.mark.parametrize("n", [10, 30, 120])
def test_a_share_and_its_rank_lie_in_their_own_ranges(n):
    """In every one of six studies in which the parameters differ little."""
    for seed in range(6):
        whole, found, _, _ = answered(by_ratio(n, seed, noise=1.0), "ped-anova")
        for name, s in found.items():
            rank = 1 + sum(other > whole[name] for other in whole.values())
            assert 0 <= s.low <= whole[name] <= s.high <= 1
            assert s.rank_low <= rank <= s.rank_high


def test_a_range_of_small_parts_is_made_narrower(monkeypatch):
    """Shares of 10 out of 40 trials spread sqrt(3) times as far as the share of all 40 does."""
    found = np.array([[0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    one = ranges._around({"a": 0.5, "b": 0.5}, found, 1.0)["a"]
    other = ranges._around({"a": 0.5, "b": 0.5}, found, 3**-0.5)["a"]
    assert one.high - 0.5 == pytest.approx(1.645 * 0.1)
    assert other.high - 0.5 == pytest.approx(1.645 * 0.1 / 3**0.5)
    scales = []
    monkeypatch.setattr(ranges, "_around", lambda *given: scales.append(given[-1]) or {})
    monkeypatch.setattr(ranges, "MAX_HALF", {"ped-anova": 10, "fanova": 10})
    answered(by_ratio(40), "ped-anova")
    assert scales == [pytest.approx(3**-0.5)]


def test_ranks_by_hand():
    """Shares 0.5, 0.2, 0.2, 0.1 without any spread have ranks 1, 2.5, 2.5, 4."""
    whole = {"a": 0.5, "b": 0.2, "c": 0.2, "d": 0.1}
    found = ranges._around(whole, np.array([list(whole.values())] * 3), 1.0)
    assert [(s.rank_low, s.rank_high) for s in found.values()] == [(1, 1), (2.5, 2.5), (2.5, 2.5), (4, 4)]
