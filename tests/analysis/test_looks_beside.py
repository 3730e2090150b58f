"""Comparisons that no rule makes, of arms whose seeds are added for others, are judged by all looks too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dashboards.effect_words import reading
from reprtune.analysis.effects import Effect, effects
from reprtune.analysis.looks import looks, wanted
from reprtune.analysis.sequential import nominal_level
from reprtune.errors import SpecError
from reprtune.record.schema import StudyRecord
from reprtune.spec.study import Arm, Arms, Factor, FullFactorial, Until, named
from tests.analysis.test_looks import NOISE, STANDARD, UNTIL, added, recorded

ARMS = (
    Arm(name="standard", changes={"method": "standard"}),
    Arm(name="paper", against=("standard", "random-drop")),
    Arm(name="random-drop", changes={"method.criterion": "random"}),
)
MIXED = [
    -0.03,
    0.05,
    -0.05,
    -0.01,
    -0.06,
    -0.01,
    -0.05,
    -0.02,
    -0.04,
]  # beside NOISE: shrinks as seeds are added


def record(until: Until | None = UNTIL, n: int = 9) -> StudyRecord:
    """Both rules, against standard, stay open to the end; that of paper and random drop is none."""
    errors = {"standard": STANDARD[:n], "paper": added(MIXED, n), "random-drop": added(NOISE, n)}
    found = recorded(errors, until)
    section = Arms(name="controls", design=named(*ARMS), seeds=(0, 1, 2), until=until)
    return replace(found, spec=replace(found.spec, sections=(section,)))


def unruled(found: StudyRecord) -> Effect:
    return next(one for one in effects(found) if one.control == "random-drop")


def test_p_is_that_of_all_looks() -> None:
    """As often as series without effect have so small a p at any of 3, 5, 7 and 9 seeds, by simulation; a t test of all
    nine says less."""
    d = np.subtract(MIXED, NOISE)
    least = min(stats.ttest_1samp(d[:n], 0).pvalue for n in (3, 5, 7, 9))
    series = np.random.default_rng(1).standard_normal((100_000, 9))
    ps = np.min([stats.ttest_1samp(series[:, :n], 0, axis=1).pvalue for n in (3, 5, 7, 9)], axis=0)
    one = unruled(record())
    assert one.comparison.p == pytest.approx(np.mean(ps <= least), abs=0.005)
    fixed = stats.ttest_1samp(d, 0).pvalue
    assert one.comparison.p is not None and one.comparison.p > 1.5 * min(fixed, least)


def test_interval_is_that_of_all_looks() -> None:
    """At the level that four looks leave."""
    judged = unruled(record()).comparison.judged
    ends = stats.ttest_1samp(np.subtract(MIXED, NOISE), 0).confidence_interval(
        1 - nominal_level((3, 5, 7, 9))
    )
    assert judged is not None and (judged.low, judged.high) == pytest.approx(tuple(ends))


def test_only_seeds_of_a_finished_look_count() -> None:
    """Four seeds of both are the look at three."""
    one = unruled(record(n=4))
    assert one.n == 3 and one.comparison.p is not None


def test_the_page_says_so() -> None:
    """And nothing of it where seeds are fixed."""
    assert "up to 4 looks together" in reading(effects(record()))
    assert "looks together" not in reading(effects(record(None, n=3)))


def test_a_margin_is_not_tested_by_a_fixed_number_of_seeds() -> None:
    """Neither of a rule nor of another pair."""
    found = record()
    found = replace(found, spec=replace(found.spec, margin=0.2))
    assert [one.equivalence for one in effects(found)] == [None, None, None]
    fixed = record(None, n=3)
    fixed = replace(fixed, spec=replace(fixed.spec, margin=0.2))
    assert all(one.equivalence for one in effects(fixed))


def test_cells_of_a_factorial_get_the_same_seeds() -> None:
    """Effects are means over all cells."""
    factor = Factor(name="restore", levels={"orthogonal": {}, "random": {"method.restore": "random"}})
    with pytest.raises(SpecError, match=r"until cannot be set with the design full-factorial"):
        Arms(design=FullFactorial(factors=(factor, replace(factor, name="b"))), seeds=3, until=Until(most=9))


def test_more_seeds_by_hand_are_further_looks() -> None:
    """What was looked at stays looked at: an extended section has the same first looks, and p is that of more."""
    found = record()
    (section,) = found.spec.comparisons
    more = section.extended((9, 10))
    assert (more.seeds, more.all_seeds) == ((0, 1, 2), tuple(range(11)))
    extended = replace(found, spec=found.spec.with_section(more))
    pair = ("random-drop", "standard")
    assert [len(seeds) for seeds in looks(extended)[pair].planned] == [3, 5, 7, 9, 11]
    assert wanted(more, extended)["random-drop"] == tuple(range(11))
    before, after = looks(found)[pair].comparison.p, looks(extended)[pair].comparison.p
    assert before is not None and after is not None and after >= before
