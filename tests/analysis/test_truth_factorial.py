"""Factorial designs of known truth, a few studies of each: what is planted is found, intervals hold the truth."""

from __future__ import annotations

import numpy as np

from benchmarks.truth.factorial import DESIGNS, Truth, held, study


def test_a_planted_effect_is_found_and_covered() -> None:
    """An effect of two standard deviations is named in most studies of five seeds, by both tests; its interval covers it."""
    rng = np.random.default_rng(5)
    found = [study(DESIGNS["2 x 2"], 5, Truth(main=2), rng) for _ in range(40)]
    assert sum("A" in {t.name for t in one.shown} for one in found) >= 24
    hits = sum(held(one, 2.0)[0] for one in found)
    assert hits >= 68  # of 80; at 95 % fewer are seen less than once in 1,000


def test_little_is_named_where_nothing_is() -> None:
    """Holm's rule keeps the chance that any term is named at 5 %: of 40 studies hardly ever more than 6."""
    rng = np.random.default_rng(6)
    found = [study(DESIGNS["2 x 2"], 5, Truth(), rng) for _ in range(40)]
    assert sum(bool(one.shown) for one in found) <= 6
