"""Directions given the other parameters: numbers of statsmodels, truths that are known, trials that lack parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmarks.truth import directions as known
from benchmarks.truth.interactions import PARAMS, study
from reprtune.analysis.directions import RankTrend, directions
from reprtune.spec.space import Choice, FloatRange, IntRange
from tests import models

SPACE = {
    "lr": FloatRange(low=0.001, high=1.0, log=True),
    "cycles": IntRange(low=1, high=4),
    "criterion": Choice(options=("l2", "random", "ortho")),
}
AS_JSON = {
    "lr": {"kind": "float", "log": True},
    "cycles": {"kind": "int"},
    "criterion": {"kind": "choice"},
}


def drawn(n: int, seed: int = 0) -> list[dict]:
    """lr and cycles go together."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        at = rng.uniform(-3, 0)
        cycles = int(np.clip(round(2.5 + at + rng.normal() + 1.5), 1, 4))
        made.append(
            {"lr": float(10**at), "cycles": cycles, "criterion": str(rng.choice(["l2", "random", "ortho"]))}
        )
    return made  # fmt: skip


def errors(trials: list[dict], error, seed: int = 1) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(error(d, rng.normal())) for d in trials]


def test_numbers_are_those_of_statsmodels():
    """rho from residuals of ranks, p of the coefficient in a regression of ranks, the median of all slopes between
    residuals over three decades, and Holm's p over both."""
    trials = drawn(50)
    y = errors(trials, lambda d, e: 0.1 * d["cycles"] + 0.02 * math.log10(d["lr"]) + 0.1 * e)
    seen = list(zip(trials, y, strict=True))
    found = directions(trials, y, SPACE)
    assert set(found) == {"lr", "cycles"}
    for name, width in (("lr", 3), ("cycles", 3)):
        rank = found[name]
        assert (rank.rho, rank.p) == pytest.approx(models.direction(AS_JSON, seen, name))
        assert rank.change == pytest.approx(models.change(AS_JSON, seen, name, width))
        assert rank.plain == pytest.approx(stats.spearmanr([d[name] for d in trials], y).statistic)
    corrected = multipletests([rank.p for rank in found.values()], method="holm")[1]
    assert [rank.p_holm for rank in found.values()] == pytest.approx(list(corrected))


def test_of_one_parameter_alone_it_is_spearman_with_its_interval():
    """With no other parameter: rho and p of scipy, Bonett and Wright's interval, Sen's of the slope."""
    trials = [{"cycles": d["cycles"]} for d in drawn(40)]
    y = errors(trials, lambda d, e: d["cycles"] + e)
    x = [d["cycles"] for d in trials]
    rank = directions(trials, y, {"cycles": SPACE["cycles"]})["cycles"]
    spearman, sen = stats.spearmanr(x, y), stats.theilslopes(y, x)
    s = math.sqrt((1 + spearman.statistic**2 / 2) / 37)
    assert (rank.rho, rank.plain, rank.p) == pytest.approx((*[spearman.statistic] * 2, spearman.pvalue))
    ends = np.tanh(np.arctanh(spearman.statistic) + 1.959964 * s * np.array([-1, 1]))
    assert (rank.low, rank.high) == pytest.approx(tuple(ends))
    assert (rank.change, rank.change_low, rank.change_high, rank.n_terms) == pytest.approx(
        (3 * sen.slope, 3 * sen.low_slope, 3 * sen.high_slope, 0)
    )


@pytest.mark.parametrize("n", [32, 60])
@pytest.mark.parametrize("name", known.TRUTHS)
def test_a_wrong_arrow_is_rare(name, n):
    """Of 60 studies whose parameters go together at most 9 have one; with 6.5 %, 10 come in 1 % of such tests."""
    truth, real = known.TRUTHS[name]
    shown = [known.after(study(truth, n, seed)) for seed in range(60)]
    assert sum(bool(names - set(real)) for names in shown) <= 9


def test_a_correlation_that_another_parameter_makes_is_no_arrow():
    """Where only `cycles` matters, s1 falls with them alone: far from 0 by itself in most of 20 studies, and its
    partial correlation is near 0 on average; `cycles` keeps its arrow in all."""
    plain, partial = [], []
    for seed in range(20):
        seen = study(known.TRUTHS["only cycles"][0], 100, seed)
        found = directions([dict(d) for d, _ in seen], [y for _, y in seen], PARAMS)
        plain.append(found["s1_epochs"].plain)
        partial.append(found["s1_epochs"].rho)
        assert found["cycles"].sign == 1
    assert np.mean(plain) < -0.2
    assert abs(np.mean(partial)) < 0.08


def test_intervals_cover_what_is_not_there():
    """Of 200 studies of 40 trials, 91 to 98.5 % of the intervals of a parameter that does nothing have 0 inside."""
    rho = change = 0
    for seed in range(200):
        seen = study(known.TRUTHS["only cycles"][0], 40, seed)
        rank = directions([dict(d) for d, _ in seen], [y for _, y in seen], PARAMS)["s1_epochs"]
        rho += rank.low <= 0 <= rank.high
        change += rank.change_low <= 0 <= rank.change_high
    assert 0.91 <= rho / 200 <= 0.985
    assert 0.91 <= change / 200 <= 0.985


def test_the_interval_of_rho_covers_what_it_should():
    """Of 400 draws of 20 from a normal pair with correlation 0.5, 92 to 98 % cover its rank correlation."""
    rng, truth, n = np.random.default_rng(1), 6 / math.pi * math.asin(0.25), 0
    for _ in range(400):
        x = rng.normal(size=20)
        y = 0.5 * x + math.sqrt(0.75) * rng.normal(size=20)
        rank = directions([{"x": float(v)} for v in x], list(y), {"x": FloatRange(low=-9.0, high=9.0)})["x"]
        n += rank.low <= truth <= rank.high
    assert 0.92 <= n / 400 <= 0.98


def test_the_sign_needs_a_corrected_p():
    """0.04 before and 0.06 after correction is no arrow."""
    rank = RankTrend(
        n=40, plain=0.0, rho=-0.5, low=-0.8, high=-0.1, p=0.02, p_holm=0.04, n_terms=0,
        change=None, change_low=None, change_high=None,
    )  # fmt: skip
    assert rank.sign == -1
    assert RankTrend(**{**vars(rank), "rho": 0.5}).sign == 1
    assert RankTrend(**{**vars(rank), "p": 0.04, "p_holm": 0.06}).sign == 0


def test_a_parameter_of_some_trials_is_judged_among_them():
    """`cycles` exists under l2 alone: its direction is that of those trials, and lr's is of all."""
    trials = [
        d if d["criterion"] == "l2" else {k: v for k, v in d.items() if k != "cycles"} for d in drawn(90)
    ]
    y = errors(trials, lambda d, e: d.get("cycles", 5) + math.log10(d["lr"]) + 0.3 * e)
    found = directions(trials, y, SPACE)
    own = [(d, value) for d, value in zip(trials, y, strict=True) if "cycles" in d]
    assert (found["cycles"].n, found["lr"].n) == (len(own), 90)
    assert (found["cycles"].rho, found["cycles"].p) == pytest.approx(models.direction(AS_JSON, own, "cycles"))
    assert found["cycles"].sign == found["lr"].sign == 1


def test_what_is_missing_is_said():
    """Too few trials beside the terms of the others, one value, none at all, and nothing left to tell by."""
    trials = drawn(14)
    found = directions(trials, errors(trials, lambda _, e: e), SPACE)
    assert found["lr"] == (
        "A direction of lr beside 5 terms of the other parameters needs 15 complete trials, but there are 14."
    )
    same = [{**d, "lr": 0.1} for d in drawn(30)]
    assert directions(same, errors(same, lambda _, e: e), SPACE)["lr"] == "lr took one value only."
    assert directions([], [], SPACE)["lr"] == "No complete trial has lr."
    constant = directions(drawn(30), [0.2] * 30, SPACE)
    assert constant["lr"] == "The objective took one value only."
    twins = [{"a": d["cycles"], "b": d["cycles"]} for d in drawn(40)]
    space = {"a": IntRange(low=1, high=4), "b": IntRange(low=1, high=4)}
    assert (
        "a follows from the other parameters" in directions(twins, errors(twins, lambda _, e: e), space)["a"]
    )
    exact = directions(drawn(40), [float(d["cycles"]) for d in drawn(40)], SPACE)
    assert "the objective follows from the other parameters" in exact["lr"]


def test_a_straight_line_has_its_change():
    """0.02 per decade over three decades is +0.06, whatever the other parameters are."""
    trials = drawn(40)
    rank = directions(trials, errors(trials, lambda d, _: 0.1 + 0.02 * math.log10(d["lr"])), SPACE)["lr"]
    assert rank.change == pytest.approx(0.06) and rank.sign == 1
