"""Comparisons of arms: every number against scipy, statsmodels or by hand from the errors that were put in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from dashboards.effect_words import findings
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.decisions import Verdict, Why, decisions
from reprtune.analysis.effect_rows import EFFECT_COLUMNS, effect_rows
from reprtune.analysis.effects import Effect, Rate, effects
from reprtune.errors import SpecError
from reprtune.record.schema import StudyRecord
from reprtune.spec.decisions import Rule
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import NamedArms
from tests.ablated import STANDARD, WHOLE, Errors, designed, leave_one_out

BASE = (0.060, 0.062, 0.058, 0.061, 0.063)
BETTER = (0.050, 0.053, 0.047, 0.052, 0.052)
WORSE = (0.080, 0.085, 0.079, 0.081, 0.086)
SAME = (0.0601, 0.0615, 0.0588, 0.0605, 0.0632)
ARMS = tuple(Arm(name=name, changes={"method": "repr"}) for name in ("good", "bad", "equal"))


def named(errors: Errors) -> StudyRecord:
    return designed(NamedArms(list=(STANDARD, *ARMS)), errors)


def study() -> StudyRecord:
    return named({"standard": BASE, "good": BETTER, "bad": WORSE, "equal": SAME})


def of(record: StudyRecord, arm: str, control: str = "standard") -> Effect:
    return next(one for one in effects(record) if (one.arm, one.control) == (arm, control))


def test_every_number_of_a_comparison() -> None:
    """As scipy and statsmodels have them, from the errors themselves."""
    d = {name: np.subtract(e, BASE) for name, e in (("good", BETTER), ("bad", WORSE), ("equal", SAME))}
    ps = [stats.ttest_1samp(x, 0).pvalue for x in d.values()]
    expected = dict(zip(d, multipletests(ps, method="holm")[1], strict=True))
    for name, x in d.items():
        one = of(study(), name)
        low, high = stats.ttest_1samp(x, 0).confidence_interval(0.95)
        judged = one.comparison.judged
        assert judged is not None
        assert (judged.mean, judged.low, judged.high) == pytest.approx((x.mean(), low, high))
        assert one.comparison.p_holm == pytest.approx(expected[name]) and one.m == 3
        assert one.comparison.effect == pytest.approx(x.mean() / x.std(ddof=1))
        assert one.comparison.better == np.mean(x < 0) and one.n == 5
    assert [of(study(), name).verdict for name in d] == [Verdict.HELPS, Verdict.HARMS, Verdict.NOT_SHOWN]


def test_of_a_group_the_one_that_helps_most_comes_first() -> None:
    """Groups in the order of the arms; without a pair, last."""
    assert [one.row for one in effects(study())] == ["good", "equal", "bad"]
    nothing = named({"standard": BASE, "good": ("error",) * 5, "bad": WORSE, "equal": SAME})
    assert [one.row for one in effects(nothing)] == ["equal", "bad", "good"]


def test_the_whole_is_the_head_of_what_it_is_compared_with() -> None:
    """Of leave-one-out: rows are named by what was left out; standard is no part of it."""
    found = effects(leave_one_out())
    assert {one.group for one in found} == {"repr"} and all(one.is_whole for one in found)
    ideas = {one.row: one.idea for one in found}
    assert ideas["standard"] == "" and ideas["restore-old"] == "restore" and ideas["scope-layer"] == "scope"
    assert all(one.group == "standard" and not one.is_whole for one in effects(study()))


def test_a_diverged_run_counts_and_is_told() -> None:
    """With chance error (9/10) in what is judged, without it beside; rates of both sides."""
    record = named(
        {"standard": BASE, "good": (*BETTER[:4], "diverged"), "bad": WORSE, "equal": ("error", *SAME[1:])}
    )
    one = of(record, "good")
    with_chance = np.subtract((*BETTER[:4], 0.9), BASE)
    assert one.comparison.judged is not None and one.comparison.difference is not None
    assert one.size == pytest.approx(with_chance.mean()) and one.n == 5
    assert one.comparison.difference.mean == pytest.approx(np.subtract(BETTER[:4], BASE[:4]).mean())
    assert (one.diverged, one.control_diverged, one.missing) == (Rate(n=1, of=5), Rate(n=0, of=5), 0)
    failed = of(record, "equal")
    assert (failed.n, failed.missing, failed.diverged) == (4, 1, Rate(n=0, of=4))


def test_nothing_is_said_while_runs_are_left() -> None:
    """However clear; what is left is no missing seed."""
    record = named({"standard": BASE, "good": (*BETTER[:4], None), "bad": WORSE, "equal": SAME})
    one = of(record, "good")
    assert (one.verdict, one.why, one.left, one.missing) == (Verdict.OPEN, Why.UNFINISHED, 1, 0)


def test_what_the_rules_say_is_said_here_too() -> None:
    """Verdict and corrected p of a pair that is a rule are the rule's; another pair is corrected over all of the study."""
    record = study()
    record = replace(record, spec=replace(record.spec, rules=(Rule(arm="bad"),)))
    (rule,) = decisions(record)
    bad, good = of(record, "bad"), of(record, "good")
    assert (bad.verdict, bad.comparison.p_holm, bad.m) == (rule.verdict, rule.comparison.p_holm, 1)
    own = next(arm for arm in arm_summaries(record) if arm.arm == "good").against[0]
    assert (good.comparison.p_holm, good.m, good.verdict) == (own.p_holm, 3, Verdict.HELPS)


def test_cost_alone_and_what_was_spent() -> None:
    """Means per run, whose retries count as spent; nothing where a run does not tell."""
    record = study()
    one = of(record, "good")
    assert one.price.gflops_alone == pytest.approx(100.0) and one.price.gflops_spent == pytest.approx(60.0)
    runs = record.attempts["arms"]
    lost = replace(next(t for t in runs if t.arm == "good"), number=900, outcome="lost", values=None)
    retried = replace(record, attempts={"arms": (lost, *runs)})
    cost = lost.result["gflops_spent"]
    assert of(retried, "good").price.gflops_spent == pytest.approx(60.0 + cost / 5)
    assert of(retried, "good").price.gflops_alone == pytest.approx(100.0)
    silent = tuple(
        replace(t, result={k: v for k, v in t.result.items() if k != "gflops_spent"}) for t in runs
    )
    assert of(replace(record, attempts={"arms": silent}), "good").price.gflops_spent is None


def test_the_error_that_the_images_leave() -> None:
    """Of 361 test images, the larger of the two."""
    e = np.mean(WORSE)
    assert of(study(), "bad").sampling == pytest.approx(np.sqrt(e * (1 - e) / 361))
    e = np.mean(BASE)
    assert of(study(), "good").sampling == pytest.approx(np.sqrt(e * (1 - e) / 361))


def test_a_row_for_every_comparison() -> None:
    """All columns in each, numbers as numbers."""
    rows = effect_rows(leave_one_out(gains={"standard": 0.01}))
    assert len(rows) == 9 and all(set(row) == {*EFFECT_COLUMNS} for row in rows)
    first = rows[0]
    assert (first["arm"], first["control"], first["verdict"]) == ("repr", "standard", "helps")
    assert isinstance(first["difference"], float) and first["difference_low"] < first["difference"] < 0
    assert WHOLE.name == first["group"]


@pytest.mark.parametrize("seed", range(3))
def test_a_part_that_matters_is_found_and_others_are_not(seed: int) -> None:
    """Without it the error rises by 2 points, seven spreads of a difference."""
    found = effects(leave_one_out(6, gains={"restore-random": 0.02}, seed=seed))
    assert [one.row for one in found if one.verdict is Verdict.HELPS] == ["restore-random"]


def test_what_is_within_the_margin() -> None:
    """Two one-sided tests as statsmodels has them, corrected over all pairs; nothing without a margin, or while runs are
    left."""
    record = replace(study(), spec=replace(study().spec, margin=0.002))
    d = {name: np.subtract(e, BASE) for name, e in (("good", BETTER), ("bad", WORSE), ("equal", SAME))}
    ps = [ttost_paired(x, np.zeros(5), -0.002, 0.002)[0] for x in d.values()]
    expected = dict(zip(d, multipletests(ps, method="holm")[1], strict=True))
    found = {name: of(record, name).equivalence for name in d}
    assert {name: one.p for name, one in found.items() if one} == pytest.approx(expected)
    assert [name for name, one in found.items() if one and one.is_shown] == ["equal"]
    assert of(study(), "equal").equivalence is None
    said = " ".join(findings(effects(record)))
    assert (
        "Shown to be within 0.2 points of each other, the margin of this study: 1 of 3 pairs: equal and standard."
        in said
    )


@pytest.mark.parametrize("margin", [0.0, -0.01, 1.0])
def test_a_margin_that_cannot_be(margin: float) -> None:
    """It is a difference of errors."""
    with pytest.raises(SpecError, match="margin must be above 0 and below 1"):
        replace(study().spec, margin=margin)
