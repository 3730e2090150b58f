"""Control arms: means, paired intervals and the words of caution, against scipy and by hand."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import pytest
from scipy import stats

from dashboards.answer import answer
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.luck import best_of_search, expected_gain
from reprtune.analysis.paired import SeedValue, paired
from reprtune.record.schema import SeedRun, StudyRecord
from tests.factories import make_study, make_trial
from tests.flat import with_attempts


def seeds(*values: float, start: int = 0) -> list[SeedValue]:
    return [SeedValue(seed=start + i, value=v) for i, v in enumerate(values)]


def with_errors(record: StudyRecord, errors: dict[tuple[str, int], float]) -> StudyRecord:
    """Controls whose validation error at the end is given by (arm, seed)."""
    controls = tuple(
        replace(t, values={"val_error": errors[t.arm, t.seed], "train_gflops": 10.0})
        if (t.arm, t.seed) in errors
        else t
        for t in record.controls
    )
    return with_attempts(record, controls=controls)


def test_paired_interval_is_the_paired_t_interval():
    """Mean and interval equal scipy's one-sample t interval of the differences."""
    a, b = [0.10, 0.14, 0.11, 0.17], [0.12, 0.13, 0.15, 0.16]
    d = paired(seeds(*a), seeds(*b))
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert d.n == 4
    assert d.mean == pytest.approx(statistics.fmean(a) - statistics.fmean(b))
    assert (d.low, d.high) == pytest.approx((low, high))


def test_two_pairs_have_a_mean_and_no_interval():
    """An interval needs three pairs."""
    d = paired(seeds(0.2, 0.4), seeds(0.1, 0.1))
    assert d.mean == pytest.approx(0.2)
    assert d.low is None and d.high is None


def test_pairs_are_made_by_seed_not_by_position():
    """Only seeds that both have count; without one there is no difference."""
    d = paired(seeds(0.5, 0.6, start=1), seeds(0.1, 0.2, 0.3, start=2))
    assert [(p.seed, round(p.value, 9)) for p in d.pairs] == [(2, 0.5)]
    assert paired(seeds(0.5), seeds(0.1, start=9)) is None


def test_arms_by_hand():
    """Mean, sd, difference and factors of small round numbers."""
    errors = {("standard", s): 0.10 + 0.01 * s for s in range(3)}
    errors |= {("paper", s): 0.12 + 0.01 * s for s in range(3)}
    arms = {a.arm: a for a in arm_summaries(with_errors(make_study(2, extras=()), errors))}
    assert arms["standard"].mean == pytest.approx(0.11)
    assert arms["standard"].sd == pytest.approx(0.01)
    assert arms["standard"].against == ()
    (beside,) = arms["paper"].against
    assert beside.control == "standard"
    assert beside.difference.mean == pytest.approx(0.02)
    assert beside.difference.low is None and beside.difference.is_constant  # every seed differs by the same
    assert arms["paper"].cost_factor == pytest.approx(1)
    assert arms["paper"].budget_factor == pytest.approx(1)


def test_a_diverged_run_is_counted_and_compared_both_ways():
    """Without it, and with chance error (9/10 for ten classes) in its place."""
    record = make_study(2, extras=(), diverged_controls=(("paper", 1),))
    errors = {("standard", s): 0.1 for s in range(3)} | {("paper", 0): 0.2, ("paper", 2): 0.2}
    paper = arm_summaries(with_errors(record, errors))[1]
    assert (paper.n, paper.n_diverged, paper.n_failed, paper.n_open) == (2, 1, 0, 0)
    (beside,) = paper.against
    assert beside.difference.n == 2
    assert beside.difference.mean == pytest.approx(0.1)
    assert beside.with_chance.n == 3
    assert beside.with_chance.mean == pytest.approx((0.1 + 0.8 + 0.1) / 3)


def test_a_retried_control_counts_once():
    """An interrupted attempt and its complete retry are one run of the arm."""
    record = make_study(1, extras=())
    first = record.controls[0]
    lost = replace(first, number=900, outcome="lost", values=None, history=None)
    assert arm_summaries(with_attempts(record, controls=(lost, *record.controls))) == arm_summaries(record)


def test_without_a_standard_arm_nothing_is_compared():
    """Arms keep their means; differences and factors need the standard arm."""
    record = make_study(3, extras=())
    record = with_attempts(record, controls=tuple(t for t in record.controls if t.arm != "standard"))
    paper = arm_summaries(record)[1]
    assert paper.mean is not None
    assert [one.difference for one in paper.against] == [None] and paper.cost_factor is None
    best = best_of_search(record)
    assert best.to_standard is None and best.luck is None and best.cost_factor is None


def test_arms_not_begun_are_listed_with_nothing():
    """An unfinished study names every arm of its specification."""
    arms = arm_summaries(make_study(0, extras=(), control_seeds=()))
    assert [a.arm for a in arms] == ["standard", "paper", "random-drop"]
    assert all(a.n == 0 and a.mean is None for a in arms)
    assert all(one.difference is None for a in arms for one in a.against)


def test_best_of_search_by_hand():
    """The lowest error among complete trials, held against the mean of standard."""
    record = make_study(5, outcomes=("complete",), extras=())
    errors = [0.3, 0.05, 0.2, 0.05, 0.1]
    trials = tuple(
        replace(t, values={"val_error": e, "train_gflops": 1.0})
        for t, e in zip(record.trials, errors, strict=True)
    )
    stopped = make_trial(record.spec, 99, "stopped")
    record = with_errors(
        with_attempts(record, trials=(*trials, stopped)), {("standard", s): 0.08 for s in range(3)}
    )
    best = best_of_search(record)
    assert (best.number, best.k) == (1, 5)  # the earlier of two equals; the stopped one is no candidate
    assert best.to_standard == pytest.approx(-0.03)
    assert best.cost_factor == pytest.approx(0.1)
    assert best_of_search(make_study(3, outcomes=("diverged",), extras=())) is None


@pytest.mark.parametrize("k", [2, 8, 32])
def test_expected_gain_agrees_with_simulation(k):
    """The best of k equal draws lies that far below the mean, within 3 % of a simulation."""
    rng = random.Random(k)
    simulated = statistics.fmean(-min(rng.gauss(0, 2) for _ in range(k)) for _ in range(20_000))
    assert expected_gain(k, 2.0) == pytest.approx(simulated, rel=0.03)


def test_one_trial_gains_nothing_by_chance():
    """The best of one is the one."""
    assert expected_gain(1, 5.0) == pytest.approx(0)


def test_the_luck_of_a_mean_of_seeds_is_smaller_by_their_root():
    """Errors of the standard arm spread by 0.01; the best of k means of 4 seeds gains half as much by chance."""
    record = with_errors(
        make_study(6, outcomes=("complete",), extras=()), {("standard", s): 0.10 + 0.01 * s for s in range(3)}
    )
    one = best_of_search(record)
    runs = tuple(SeedRun(seed=s, measured={"val_error": 0.1, "train_gflops": 1.0}) for s in range(3))
    four = best_of_search(
        with_attempts(record, trials=tuple(replace(t, earlier=runs, seed=3) for t in record.trials))
    )
    assert (one.n_seeds, four.n_seeds) == (1, 4)
    assert one.luck == pytest.approx(0.01 * 1.2672, rel=1e-3), (
        "the expected maximum of six standard normal draws"
    )
    assert four.luck == pytest.approx(one.luck / 2)
    assert "Not confirmed: one seed" in " ".join(answer(record))
    means = with_attempts(record, trials=tuple(replace(t, earlier=runs, seed=3) for t in record.trials))
    assert "Not confirmed: mean of 4 seeds" in " ".join(answer(means))
