"""Non-dominated sorting against its definition."""

from __future__ import annotations

import random

import pytest

from reprtune.stopping.dominance import dominates, pareto_front, ranks


def by_definition(points: list[tuple[float, ...]]) -> list[int]:
    """Take off the undominated points again and again; everything written out."""
    left, result, rank = set(range(len(points))), [0] * len(points), 0
    while left:
        front = {
            i
            for i in left
            if not any(
                all(a <= b for a, b in zip(points[j], points[i], strict=True))
                and any(a < b for a, b in zip(points[j], points[i], strict=True))
                for j in left
            )
        }
        for i in front:
            result[i] = rank
        left, rank = left - front, rank + 1
    return result


def test_ranks_by_hand():
    """The front has rank 0; a point only the front dominates has rank 1."""
    points = [(1, 4), (2, 2), (4, 1), (3, 3), (4, 4), (5, 5)]
    assert ranks(points) == [0, 0, 0, 1, 2, 3]
    assert pareto_front(points) == [True, True, True, False, False, False]


def test_equal_points_share_the_front():
    """Equal points do not dominate each other: all are on the front, or none is."""
    assert pareto_front([(1, 1), (1, 1), (1, 2)]) == [True, True, False]
    assert ranks([(0, 0), (1, 2), (1, 2)]) == [0, 1, 1]


def test_one_objective_ranks_like_a_sorted_list():
    """With one objective the front is the minimum and the ranks count the different smaller values."""
    assert ranks([(3,), (1,), (2,), (1,)]) == [2, 0, 1, 0]


def test_nothing_has_no_front():
    """No points, no ranks."""
    assert ranks([]) == [] and pareto_front([]) == []


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_ranks_agree_with_the_definition(objectives):
    """On random points with many ties the fast sort equals the definition."""
    rng = random.Random(objectives)
    for _ in range(60):
        points = [tuple(rng.randint(0, 5) for _ in range(objectives)) for _ in range(rng.randint(1, 25))]
        assert ranks(points) == by_definition(points)


def test_the_sweep_for_two_objectives_agrees_with_the_definition():
    """Without ties, with hundreds of fronts, with signed zeros and infinite values: pairs are swept, n log n."""
    rng = random.Random(0)
    draws = (rng.random, lambda: rng.choice([0.0, -0.0, 1.0, float("inf"), -float("inf")]))
    for n in (1, 2, 40, 120):
        for draw in draws:
            points = [(draw(), draw()) for _ in range(n)]
            assert ranks(points) == by_definition(points)
    line = [(i, i) for i in range(200)]
    assert ranks(line) == list(range(200))
    assert ranks([(x, -y) for x, y in line]) == [0] * 200


def test_infinite_is_dominated_and_nan_is_refused():
    """An infinite error is simply worst; not-a-number has no place in an order."""
    assert dominates((1.0, 1.0), (float("inf"), 1.0))
    with pytest.raises(ValueError, match="not-a-number"):
        ranks([(float("nan"), 1.0)])


def test_points_of_different_lengths_are_refused():
    """Points must have the same objectives."""
    with pytest.raises(ValueError, match="same number"):
        ranks([(1, 2), (1,)])
