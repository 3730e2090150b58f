"""Several seeds of one trial as one: means of what they measured, sums of what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reprtune.history import CURVES, Point
from reprtune.record.pack import unpack
from reprtune.spec.objectives import OBJECTIVES


def mean_values(seeds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Every objective that all seeds have; empty without seeds."""
    known = [name for name in OBJECTIVES if seeds and all(name in seed for seed in seeds)]
    return {name: sum(seed[name] for seed in seeds) / len(seeds) for name in known}


def mean_objectives(seeds: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[float]:
    """Of these objectives, which all seeds have."""
    means = mean_values(seeds)
    return [means[name] for name in names]


def total_costs(costs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for seed in costs:
        for name, value in seed.items():
            total[name] = total.get(name, 0) + value
    return total


def mean_points(histories: Sequence[str]) -> list[Point]:
    """The mean curve of packed histories, one for each seed; see `mean_curve`."""
    return mean_curve([unpack(history).points for history in histories])


def mean_curve(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """At each step where every seed was evaluated, means over seeds, with the first seed's phase and cycle and the
    time of the last seed to get there."""
    found = [{p.step: p for p in points} for points in curves]
    steps = set(found[0]).intersection(*found[1:]) if found else set()
    return [_mean([points[step] for points in found]) for step in sorted(steps)]


def _mean(points: Sequence[Point]) -> Point:
    means = {name: sum(getattr(p, name) for p in points) / len(points) for name in CURVES}
    return replace(points[0], time=max(p.time for p in points), **means)


def known_costs(costs: Mapping[str, float]) -> dict[str, float]:
    """The costs of a seed that an earlier attempt has trained: nothing is spent on it in this one."""
    return {name: 0 if name.endswith("_spent") else cost for name, cost in costs.items()}
