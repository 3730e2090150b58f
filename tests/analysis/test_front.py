"""What the front dominates, where it bends, and what several seeds add up to."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from reprtune.analysis.front import front, front_ranks, hypervolume, knee
from reprtune.record.measures import last_measure, seed_spread
from reprtune.record.schema import SeedRun, TrialRecord
from tests.factories import make_study

BOTH = ("val_error", "train_gflops")


def trials(*points: tuple[float, float]) -> list[TrialRecord]:
    """Complete trials with these errors and costs."""
    return [
        TrialRecord(
            section="search",
            number=i,
            slot=i,
            arm=None,
            seed=0,
            outcome="complete",
            values={"val_error": e, "train_gflops": c},
        )
        for i, (e, c) in enumerate(points)
    ]


def test_hypervolume_by_hand():
    """(1, 4), (2, 2), (4, 1) up to (4, 4): a strip of 2 * 2, no more, of a box of 3 * 3."""
    found = hypervolume(trials((0.1, 4), (0.2, 2), (0.4, 1), (0.3, 3)), BOTH)
    assert found.share == pytest.approx(4 / 9)
    assert found.ideal == (0.1, 1) and found.reference == (0.4, 4)


def test_hypervolume_agrees_with_counting():
    """On whole-numbered points it is the share of unit cells that some trial dominates."""
    rng = random.Random(0)
    for _ in range(50):
        points = [(rng.randint(0, 9), rng.randint(0, 9)) for _ in range(rng.randint(3, 20))]
        (x0, x1), (y0, y1) = ((min(v), max(v)) for v in zip(*points, strict=True))
        if x0 == x1 or y0 == y1:
            continue
        cells = [(x, y) for x in range(x0, x1) for y in range(y0, y1)]
        covered = [any(a <= x and b <= y for a, b in points) for x, y in cells]
        assert hypervolume(trials(*points), BOTH).share == pytest.approx(sum(covered) / len(cells))


def test_a_box_without_area_has_no_hypervolume():
    """No trial, one trial, or trials that differ in one measure only."""
    assert hypervolume([], BOTH) is None
    assert hypervolume(trials((0.1, 1)), BOTH) is None
    assert hypervolume(trials((0.1, 1), (0.2, 1)), BOTH) is None
    assert hypervolume(trials((0.1, 1), (0.2, 2)), BOTH).share == 1


def test_a_front_of_three_measures():
    """One that two others beat in two measures each stays on the front by its third, and there is no box."""
    found = [
        replace(t, values={**t.values, "params": size})
        for t, size in zip(trials((0.1, 4), (0.2, 2), (0.3, 3), (0.3, 4)), (9, 9, 1, 9), strict=True)
    ]
    three = (*BOTH, "params")
    assert front_ranks(found, three) == {0: 0, 1: 0, 2: 0, 3: 1}
    assert [t.number for t in front(found, BOTH)] == [0, 1]
    assert hypervolume(found, three) is None and knee(found, three) is None


def test_the_knee_bends_most():
    """Between (0, 10) and (10, 0), (2, 2) lies farther below the line than (1, 8) and (6, 1)."""
    assert knee(trials((0, 10), (1, 8), (2, 2), (6, 1), (10, 0)), BOTH).number == 2


def test_a_straight_or_short_front_has_no_knee():
    """Two points, a line, or a front that bulges the other way."""
    assert knee(trials((0, 10), (10, 0)), BOTH) is None
    assert knee(trials((0, 10), (5, 5), (10, 0)), BOTH) is None
    assert knee(trials((0, 10), (9, 9), (10, 0)), BOTH) is None


def test_several_seeds_give_a_mean_and_a_spread():
    """What is no objective is the mean over seeds; the spread is the standard deviation of their ends."""
    record = make_study(1, outcomes=("complete",), extras=(), objectives=("val_error",))
    (trial,) = record.trials
    cost = trial.history.points[-1].gflops
    error = trial.history.points[-1].val_error
    first = SeedRun(seed=1, measured={"val_error": error + 0.02, "train_gflops": cost + 4})
    twice = replace(trial, earlier=(first,))
    assert last_measure(twice, "train_gflops") == pytest.approx(cost + 2)
    assert seed_spread(twice, "train_gflops") == pytest.approx(8**0.5)
    assert seed_spread(twice, "val_error") == pytest.approx(0.02 / 2**0.5)
    assert seed_spread(trial, "val_error") is None
    stopped = replace(twice, outcome="stopped", values=None)
    assert last_measure(stopped, "train_gflops") == cost
    assert seed_spread(stopped, "val_error") is None
