"""Interactions: a planted one is found, none is not invented, and the numbers are statsmodels'."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from reprtune.analysis import interactions as module
from reprtune.analysis.interactions import interactions
from reprtune.spec.space import Choice, FloatRange, IntRange
from tests.factories import make_study, make_trial
from tests.flat import with_attempts

SPACE = {
    "training.lr": FloatRange(low=0.01, high=1.0, log=True),
    "method.cycles": IntRange(low=1, high=6),
    "method.criterion": Choice(options=("l2", "random", "ortho")),
}


def planted(n: int, error, seed: int = 0):
    """n random draws with `error(v)`: v.x, v.y lr and cycles on [-1, 1], v.c the criterion, v.e noise."""
    rng = np.random.default_rng(seed)
    record = make_study(0, extras=(), control_seeds=(), space=SPACE, objectives=("val_error",))
    trials, template = [], make_trial(record.spec, 0, params={"cycles": 1})
    for i in range(n):
        params = {
            "lr": float(10 ** rng.uniform(-2, 0)),
            "cycles": int(rng.integers(1, 7)),
            "criterion": str(rng.choice(["l2", "random", "ortho"])),
        }
        at = math.log10(params["lr"]) + 1, (params["cycles"] - 3.5) / 2.5
        v = SimpleNamespace(x=at[0], y=at[1], c=params["criterion"], e=rng.normal())
        value = float(0.3 + 0.01 * error(v))
        trials.append(replace(template, number=i, slot=i, params=params, values={"val_error": value}))
    return with_attempts(record, trials=tuple(trials))


def by_pair(record) -> dict:
    return {frozenset((m.first, m.second)): m for m in interactions(record)}


def test_a_planted_product_is_found_with_its_share():
    """x*y beside x+y and noise explains about 1/9 / (1/3 + 1/3 + 1/9 + 0.01) of the variance."""
    found = by_pair(planted(200, lambda v: v.x + v.y + v.x * v.y + 0.1 * v.e))
    pair = found[frozenset(("lr", "cycles"))]
    assert pair.p_holm < 1e-6
    assert pair.omega2 == pytest.approx(0.145, abs=0.04)
    assert pair.low < pair.omega2 < pair.high
    others = [m for names, m in found.items() if names != frozenset(("lr", "cycles"))]
    assert all(abs(m.omega2) < 0.01 for m in others)


def test_a_choice_that_turns_an_effect_round_is_found():
    """Error rises with x under l2 and falls under the others: a pair of a choice and a number."""
    found = by_pair(planted(120, lambda v: (v.x if v.c == "l2" else -v.x) + 0.3 * v.e))
    assert found[frozenset(("lr", "criterion"))].p_holm < 1e-6
    assert found[frozenset(("lr", "criterion"))].q == 2


def test_main_effects_alone_are_no_interaction(monkeypatch):
    """Of 60 studies with curved main effects and noise, the corrected test errs in at most 7."""
    monkeypatch.setattr(module, "N_HALVES", 2)
    wrong = 0
    for seed in range(60):
        record = planted(60, lambda v: 2 * v.x + 3 * v.y * v.y + 2 * (v.c == "l2") + v.e, seed=100 + seed)
        names = ("lr", "cycles"), ("lr", "criterion"), ("cycles", "criterion")
        wrong += any(
            m.p_holm < 0.05
            for m in module._interactions(
                module.rows(record, "val_error"), tuple(record.spec.params.items()), names, "val_error", 0
            )
        )
    assert wrong <= 7


def test_f_and_share_are_those_of_statsmodels():
    """The same two models as formulas: F and p of anova_lm, omega squared from its sums."""
    record = planted(80, lambda v: v.x + v.y * v.y + 0.5 * v.x * v.y + (v.c == "random") * v.x + v.e)
    data = pd.DataFrame([{**t.params, "y": t.values["val_error"]} for t in record.trials])
    data["x"] = np.log10(data["lr"])
    main = "y ~ x + I(x**2) + cycles + I(cycles**2) + C(criterion)"
    terms = {("lr", "cycles"): "x:cycles", ("lr", "criterion"): "x:C(criterion)",
             ("cycles", "criterion"): "cycles:C(criterion)"}  # fmt: skip
    found = by_pair(record)
    for names, term in terms.items():
        small, large = ols(main, data).fit(), ols(f"{main} + {term}", data).fit()
        row = anova_lm(small, large).iloc[1]
        pair = found[frozenset(names)]
        assert (pair.f, pair.p, pair.q, pair.df) == pytest.approx(
            (row["F"], row["Pr(>F)"], row["df_diff"], row["df_resid"])
        )
        omega2 = (row["ss_diff"] - row["df_diff"] * large.mse_resid) / (large.centered_tss + large.mse_resid)
        assert pair.omega2 == pytest.approx(omega2)


def test_holm_by_hand():
    """p 0.01, 0.04, 0.03 become 0.03, 0.06, 0.06."""
    base = module.Interaction(objective="val_error", first="a", second="b", n=9)
    corrected = module._corrected(tuple(replace(base, p=p) for p in (0.01, 0.04, 0.03)))
    assert [m.p_holm for m in corrected] == pytest.approx([0.03, 0.06, 0.06])


def test_too_few_trials_give_a_reason_instead():
    """The number that is needed is named, and with as many there is a measure."""
    reasons = [m.reason for m in interactions(planted(20, lambda v: v.e))]
    assert all(reason and "needs" in reason and "but there are 20" in reason for reason in reasons)
    pair = by_pair(planted(26, lambda v: v.e))[frozenset(("lr", "cycles"))]
    assert pair.reason is None and pair.omega2 is not None and pair.n_halves == 100


def test_an_objective_without_noise_beyond_main_effects_has_no_test():
    """Where nothing is left to explain, nothing is divided by nothing."""
    found = interactions(planted(60, lambda v: v.x + v.y))
    assert all(m.p is None and "nothing to tell a joint effect by" in m.reason for m in found)


def test_few_complete_trials_have_no_pairs():
    """Without importances there are no pairs to choose."""
    assert interactions(planted(5, lambda v: v.e)) == ()
