"""Plain training of other lengths as a curve, against numpy and scipy called directly, and by known truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmarks.truth import curve as truth
from benchmarks.truth.fabricated import record, trial
from reprtune.analysis.confirmation import Confirmation, confirmation
from reprtune.analysis.controls import arm_summaries, compared_with
from reprtune.analysis.plain_curve import PLAIN, FrontBesideCurve, PlainCurve, front_beside_curve, plain_curve
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.study import Arm, named
from studies.repr_ablation import STUDY

COSTS = {"standard-x0.4": 40.0, "standard-x0.6": 60.0, "standard-x0.8": 80.0, "standard": 100.0}
ERRORS = {  # by seed 0, 1, 2
    "standard-x0.4": (0.060, 0.064, 0.062), "standard-x0.6": (0.045, 0.050, 0.046),
    "standard-x0.8": (0.040, 0.041, 0.036), "standard": (0.031, 0.035, 0.033),
}  # fmt: skip
PARAMS = {"prune_ratio": 0.3, "s1_epochs": 20, "s2_epochs": 10, "cycles": 2, "criterion": "l2"}


def plain(first_seed: int = 0, errors: dict[str, tuple[float, ...]] | None = None) -> list[TrialRecord]:
    """Runs of all lengths; their test errors are 0.001 above their validation errors."""
    cells = [
        (arm, first_seed + s, e) for arm, found in (errors or ERRORS).items() for s, e in enumerate(found)
    ]
    return [
        trial(100 + i, e, {}, arm=arm, seed=seed, test=e + 0.001, cost=COSTS[arm])
        for i, (arm, seed, e) in enumerate(cells)
    ]


def drawn(*points: tuple[float, float]) -> list[TrialRecord]:
    """Trials of the search with this (cost, error)."""
    return [trial(i, error, PARAMS, cost=cost) for i, (cost, error) in enumerate(points)]


def curve_of(found: StudyRecord) -> PlainCurve:
    curve = plain_curve(found)
    assert curve is not None
    return curve


def front_of(found: StudyRecord) -> FrontBesideCurve:
    front = front_beside_curve(found)
    assert front is not None
    return front


MEANS = np.array([np.mean(ERRORS[arm]) for arm in COSTS])
LOGS = np.log([*COSTS.values()])


@pytest.mark.parametrize("cost", [40.0, 41.3, 60.0, 75.0, 99.9, 100.0])
def test_the_curve_is_linear_in_the_logarithm_of_the_cost(cost: float) -> None:
    """Through the mean of every length: numpy's interpolation over ln c; of one seed, through that seed's errors."""
    curve = curve_of(record([], plain()))
    assert curve.at(cost) == pytest.approx(np.interp(math.log(cost), LOGS, MEANS))
    for seed in (0, 1, 2):
        own = [ERRORS[arm][seed] for arm in COSTS]
        assert curve.of_seed(seed, cost) == pytest.approx(np.interp(math.log(cost), LOGS, own))
    assert curve.of_seed(3, cost) is None


@pytest.mark.parametrize(("cost", "known"), [(39.0, False), (39.7, True), (100.9, True), (102.0, False)])
def test_the_curve_goes_no_further_than_its_ends(cost: float, known: bool) -> None:
    """But for costs that differ by rounding, which have the error of the end."""
    curve = curve_of(record([], plain()))
    assert (curve.at(cost) is not None) == known
    assert (curve.of_seed(0, cost) is not None) == known
    if known:
        assert curve.at(cost) == curve.at(40.0 if cost < 70 else 100.0)


def test_the_spread_is_pooled_over_lengths() -> None:
    """Around the mean of each; the intervals of the means are those of its t."""
    curve = curve_of(record([], plain()))
    groups = np.array([*ERRORS.values()])
    sd = math.sqrt(np.mean(groups.var(axis=1, ddof=1)))
    assert (curve.sd, curve.df) == (pytest.approx(sd), 8)
    for one in curve.lengths:
        assert one.half == pytest.approx(stats.t.ppf(0.975, 8) * sd / math.sqrt(3))
    alone = curve_of(record([], [t for t in plain() if t.seed == 0]))
    assert (alone.sd, alone.df) == (None, 0) and alone.lengths[0].half is None


def test_lengths_are_known_by_what_they_are() -> None:
    """Whatever their names; what differs in more than its total is none, nor is a method."""
    arms = (
        Arm(name="standard", changes={"method": "standard"}),
        Arm(name="short", changes={"method": "standard", "training.total": "40ep"}),
        Arm(name="standard-x0.6", changes={"method": "standard", "training.total": "60ep", "training.lr": 0.05}),
        Arm(name="shorter-repr", changes={"training.total": "40ep"}),
    )  # fmt: skip
    spec = replace(STUDY, rules=()).with_section(replace(STUDY.comparisons[0], design=named(*arms)))
    assert {arm: str(total) for arm, total in spec.lengths.items()} == {
        "standard": "100ep", "short": "40ep",
    }  # fmt: skip
    runs = [trial(i, 0.1, {}, arm=arm.name, cost=40.0 + i) for i, arm in enumerate(arms)]
    assert [one.arm for one in curve_of(record([], runs, spec=spec)).lengths] == ["standard", "short"]


def test_no_curve_without_two_lengths() -> None:
    """One length that is complete, or a study without a standard arm, says nothing; lengths that a short total has
    made equal are one."""
    only = {"standard": ERRORS["standard"]}
    assert plain_curve(record(drawn((90, 0.01)), plain(errors=only))) is None
    assert front_beside_curve(record(drawn((90, 0.01)), plain(errors=only))) is None
    lengths = tuple(arm for arm in STUDY.arms if arm.name.startswith("standard-x"))
    without = replace(STUDY, rules=()).with_section(replace(STUDY.comparisons[0], design=named(*lengths)))
    assert plain_curve(record([], plain(), spec=without)) is None
    same = tuple(
        Arm(name=arm, changes={"method": "standard", "training.total": total})
        for arm, total in (("standard", "2ep"), ("standard-x0.8", "2ep"), ("standard-x0.4", "1ep"))
    )
    spec = replace(STUDY, rules=()).with_section(replace(STUDY.comparisons[0], design=named(*same)))
    runs = [t for t in plain() if t.arm != "standard-x0.6"]
    assert [one.arm for one in curve_of(record([], runs, spec=spec)).lengths] == ["standard-x0.4", "standard"]


def test_the_front_beside_the_curve() -> None:
    """Counted, with the largest gain and Bonferroni's bound of the t of the most telling one, by hand."""
    points = [(70.0, 0.030), (95.0, 0.020), (90.0, 0.060), (39.0, 0.080), (30.0, 0.09)]
    found = front_of(record([*drawn(*points), trial(5, 0.5, PARAMS, outcome="stopped")], plain()))
    assert (found.n, found.outside, found.below, found.slot) == (4, 2, 2, 1)
    d = [error - np.interp(math.log(cost), LOGS, MEANS) for cost, error in points[:2]]
    assert found.most == pytest.approx(-min(d))
    sd = math.sqrt(np.mean(np.array([*ERRORS.values()]).var(axis=1, ddof=1)))
    t = min(d) / sd / math.sqrt(1 + 1 / 3)  # two weights over three seeds each: at most the sd of one mean
    assert found.k == 4  # three complete at a cost of the curve, and one that was cut short
    assert found.p == pytest.approx(4 * stats.t.cdf(t, 8))


def test_a_front_above_the_curve() -> None:
    """Nothing lies below it, and there is nothing to judge."""
    found = front_of(record(drawn((70.0, 0.06), (95.0, 0.05)), plain()))
    assert (found.below, found.slot, found.most, found.p) == (0, None, 0.0, None)
    assert not found.is_more_than_chance


def test_no_spread_judges_nothing() -> None:
    """One seed, or seeds that end alike."""
    alike = {arm: (found[0],) * 3 for arm, found in ERRORS.items()}
    for runs in (plain(errors=alike), [t for t in plain() if t.seed == 0]):
        found = front_of(record(drawn((70.0, 0.001)), runs))
        assert found.below == 1 and found.p is None and not found.is_more_than_chance


def confirmed(cost: float = 85.0, outcome: str = "complete") -> StudyRecord:
    """A leader on fresh seeds 3 to 5, beside all lengths; of its last seed, what became of it."""
    errors = (0.021, 0.030, 0.024)
    leader = [
        trial(200 + i, e, PARAMS, arm="slot-0", seed=3 + i, section="confirmation", test=e, cost=cost + i,
              outcome=outcome if i == 2 else "complete")
        for i, e in enumerate(errors)
    ]  # fmt: skip
    return record(drawn((cost, 0.02)), plain(), [*leader, *plain(3)])


def comparison_of(found: StudyRecord) -> Confirmation:
    said = confirmation(found)
    assert said is not None
    return said


def test_a_confirmed_leader_is_held_against_every_seeds_own_curve() -> None:
    """At the cost of its own run, on test errors: scipy's paired t test; one more of the family, beside standard, but
    shorter lengths are no controls."""
    said = comparison_of(confirmed())
    assert [c.control for c in said.comparisons] == ["standard", PLAIN]
    ours = np.array([0.021, 0.030, 0.024])
    own = [np.interp(math.log(85.0 + s), LOGS, [ERRORS[arm][s] + 0.001 for arm in COSTS]) for s in (0, 1, 2)]
    one = said.comparisons[1]
    assert one.difference is not None
    assert [p.value for p in one.difference.pairs] == pytest.approx(ours - own)
    test = stats.ttest_rel(ours, own)
    low, high = test.confidence_interval()
    assert (one.difference.low, one.difference.high, one.p) == pytest.approx((low, high, test.pvalue))
    ps = [c.p for c in said.comparisons]
    assert [c.p_holm for c in said.comparisons] == pytest.approx(multipletests(ps, method="holm")[1])


def test_a_diverged_seed_counts_with_chance_error() -> None:
    """At the mean cost of the others; without chance it has no pair."""
    one = comparison_of(confirmed(outcome="diverged")).comparisons[1]
    assert one.difference is not None and one.with_chance is not None
    assert (one.difference.n, one.with_chance.n) == (2, 3)
    own = np.interp(math.log(85.5), LOGS, [ERRORS[arm][2] + 0.001 for arm in COSTS])
    assert one.with_chance.pairs[-1].value == pytest.approx(0.9 - own)


def test_a_leader_outside_the_curve_is_not_held_against_it() -> None:
    """And it is said which."""
    said = comparison_of(confirmed(cost=120.0))
    assert [c.control for c in said.comparisons] == ["standard"]


def test_lengths_claim_nothing() -> None:
    """They are compared with no other arm, and count in no correction."""
    found = record([], plain())
    assert {arm: compared_with(found)[arm] for arm in COSTS} == dict.fromkeys(COSTS, ())
    assert [c.control for arm in arm_summaries(found) for c in arm.against] == ["standard", "standard"]


def test_where_nothing_helps_it_is_seldom_said() -> None:
    """Errors depend on the cost alone: of 150 searches and 60 confirmed leaders at most what 5 % give in 999 of 1,000
    such series; with the eye, a front nearly always beats the curve."""
    before, after = truth.front_said(truth.Truth(name="bent", rho=0.2), 150)
    assert before > 140 and after <= stats.binom.ppf(0.999, 150, 0.05)
    _, leaders = truth.leader_said(truth.Truth(name="line", curve=truth.line), 5, 60)
    assert leaders <= stats.binom.ppf(0.999, 60, 0.05)


def test_a_true_gain_is_seen() -> None:
    """Of four standard deviations, in most searches and nearly all confirmations."""
    _, after = truth.front_said(truth.Truth(name="lower", gain=4 * truth.SD), 50)
    _, leaders = truth.leader_said(truth.Truth(name="lower", gain=4 * truth.SD), 5, 40)
    assert after > 30 and leaders > 30
