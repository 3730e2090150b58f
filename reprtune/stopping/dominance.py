"""Non-dominated sorting: which of several points are best when everything is minimised.

*Notations*

    point   m numbers, all minimised; infinite is allowed, not-a-number is not
    a dominates b   a is nowhere above b and somewhere below it; equal points do not dominate each other
    rank    0 for the points that nothing dominates (the front); k for those that only points of a
            rank below k dominate. For m = 2 by a sweep, n log n (Jensen 2003, IEEE TEC 7(5)); else by
            n^2 m comparisons (Deb et al. 2002, NSGA-II, fast non-dominated sort)
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is at least as good as `b` everywhere and better somewhere."""
    better = False
    for x, y in zip(a, b, strict=True):
        if x > y:
            return False
        better = better or x < y
    return better


def ranks(points: Sequence[Sequence[float]]) -> list[int]:
    """Rank of each point, 0 = on the front.

    Raises:
        ValueError: for a coordinate that is not a number, or points of different lengths.
    """
    if any(math.isnan(x) for point in points for x in point):
        raise ValueError("A point to be ranked must hold numbers, but holds a not-a-number.")
    if any(len(point) != len(points[0]) for point in points):
        raise ValueError("Points to be ranked must all have the same number of coordinates.")
    if points and len(points[0]) == 2:
        return _swept([(x, y) for x, y in points])
    n = len(points)
    worse: list[list[int]] = [[] for _ in range(n)]
    n_better = [0] * n
    for i in range(n):
        for j in range(i + 1, n):
            if dominates(points[i], points[j]):
                worse[i].append(j)
                n_better[j] += 1
            elif dominates(points[j], points[i]):
                worse[j].append(i)
                n_better[i] += 1
    return _peel(worse, n_better)


def _swept(points: Sequence[tuple[float, float]]) -> list[int]:
    """The ranks of pairs, from left to right: whoever came before is nowhere further right, so a front dominates
    a point when its lowest y so far is at most the point's. Those lowest y rise from front to front."""
    lowest: list[float] = []
    found: dict[tuple[float, float], int] = {}
    for point in sorted(set(points)):
        y = point[1]
        rank = bisect_right(lowest, y)
        lowest[rank : rank + 1] = [y]
        found[point] = rank
    return [found[point] for point in points]


def _peel(worse: list[list[int]], n_better: list[int]) -> list[int]:
    """Take off front after front. Empties `n_better`."""
    result = [0] * len(n_better)
    layer, rank = [i for i, n in enumerate(n_better) if n == 0], 0
    while layer:
        following = []
        for i in layer:
            result[i] = rank
            for j in worse[i]:
                n_better[j] -= 1
                if n_better[j] == 0:
                    following.append(j)
        layer, rank = following, rank + 1
    return result


def pareto_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each point is on the front; of equal points on it, all are."""
    return [rank == 0 for rank in ranks(points)]
