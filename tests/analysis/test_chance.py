"""Whether a parameter matters at all: p of a known truth, and of tables made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.truth import fabricated
from benchmarks.truth.importance import LEVELS
from reprtune.analysis import chance
from reprtune.analysis.evaluators import METHODS
from reprtune.analysis.importance import seen_by
from reprtune.analysis.level import ALPHA
from studies.repr_ablation import STUDY

PARAMS = dict(STUDY.params)


@pytest.fixture(autouse=True)
def _as_in_the_product(monkeypatch):
    monkeypatch.setattr(chance, "N_EXCHANGES", {"ped-anova": 120, "fanova": 40})


def named(method: str, truth, n: int, seed: int) -> set[str]:
    """The parameters that are shown to matter."""
    record = fabricated.record(fabricated.search(truth, n, np.random.default_rng(seed)))
    seen = seen_by(record, "val_error", method)
    p = chance.p_values(seen.rows, PARAMS, method, seen.best_share, 0)
    return {name for name in p if p[name] < ALPHA}


def test_where_nothing_matters_a_parameter_is_seldom_named():
    """At most 3 of 12 studies: a true rate of 5 % gives more once in 500 times, naming always the first gives 12."""
    assert sum(bool(named("ped-anova", lambda _, rng: rng.normal(), 30, i)) for i in range(12)) <= 3


@pytest.mark.parametrize(
    ("method", "name"),
    [("ped-anova", "prune_ratio"), ("fanova", "prune_ratio"), ("fanova", "cycles"), ("fanova", "criterion")],
)
def test_what_matters_much_is_named(method, name):
    """A cause of three standard deviations of the noise, of a parameter with many values or few; PED-ANOVA smooths
    choices so much that it seldom names one."""
    size = LEVELS.__getitem__ if name == "criterion" else {"prune_ratio": 6.0, "cycles": 1.0}[name].__mul__
    assert name in named(method, lambda p, rng: 3 * size(p[name]) + rng.normal(), 60, 1)


def test_p_by_hand():
    """What was found stands out more than two of three exchanges, so p is (1 + 1) / 4, doubled for two methods."""
    table = np.array([[5.0, 1.0], [1.0, 1.0], [9.0, 1.0], [2.0, 1.0]])
    assert list(chance._corrected(table)) == [1.0, 1.0]
    table = np.vstack([[90.0, 1.0], *[[i % 7, 1.0 + i % 2] for i in range(99)]])
    assert chance._corrected(table)[0] == pytest.approx(2 / 100)


def test_a_parameter_with_larger_importances_by_chance_has_no_advantage():
    """Each is measured in its own spread: 3 of a parameter of ones beats 30 of one that reaches 30 by chance."""
    rng = np.random.default_rng(0)
    table = np.column_stack([30 * rng.random(120), rng.random(120)])
    table[0] = (29.0, 3.0)
    p = chance._corrected(table)
    assert p[1] < ALPHA < p[0]


def test_the_smallest_p_can_show_something():
    """With the product's number of exchanges both methods can come below 0.05, and one more exchange changes nothing."""
    for n in chance.N_EXCHANGES.values():
        assert len(METHODS) / (n + 1) < ALPHA
        assert len(METHODS) * (n // 40) / (n + 1) < ALPHA <= len(METHODS) * (n // 40) / n


def test_equal_content_has_equal_p(monkeypatch):
    """The exchanges are drawn from a seed."""
    monkeypatch.setattr(chance, "N_EXCHANGES", {"ped-anova": 7, "fanova": 3})
    seen = seen_by(
        fabricated.record(fabricated.search(lambda p, _: p["cycles"], 12, np.random.default_rng(3))),
        "val_error",
        "fanova",
    )
    assert chance.p_values(seen.rows, PARAMS, "fanova", None, 0) == chance.p_values(
        seen.rows, PARAMS, "fanova", None, 0
    )
