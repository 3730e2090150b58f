"""The Pareto front of a study: complete trials that no other beats in error and in cost.

*Notations*

    ideal, reference   lowest and highest of each measure over the complete trials
    hypervolume        share of the box from ideal to reference that the front dominates, in [0, 1]; 1 when one
                       trial is best in both (Zitzler and Thiele 1998)
    knee               the trial of the front farthest below the straight line between its two ends, both
                       measures scaled to run from 0 to 1 along it (Das 1999)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from reprtune.analysis.attempts import MEASURES, end_measure
from reprtune.record.schema import TrialRecord
from reprtune.spec.dominance import ranks


@dataclass(frozen=True, kw_only=True)
class Hypervolume:
    """`share` of the box between (`ideal_error`, `ideal_gflops`) and (`reference_error`, `reference_gflops`)."""

    share: float
    ideal_error: float
    ideal_gflops: float
    reference_error: float
    reference_gflops: float


def front_ranks(trials: Iterable[TrialRecord], measures: tuple[str, ...] = MEASURES) -> dict[int, int]:
    """Number -> rank (0 = on the front) of every complete trial that has all measures."""
    points = {t.number: [end_measure(t, m) for m in measures] for t in trials if t.outcome == "complete"}
    known = {n: [x for x in p if x is not None] for n, p in points.items()}
    known = {n: p for n, p in known.items() if len(p) == len(measures)}
    return dict(zip(known, ranks(list(known.values())), strict=True))


def front(trials: Iterable[TrialRecord], measures: tuple[str, ...] = MEASURES) -> list[TrialRecord]:
    """The trials on the front, lowest error first."""
    trials = list(trials)
    ranked = front_ranks(trials, measures)
    chosen = [t for t in trials if ranked.get(t.number) == 0]
    return sorted(chosen, key=lambda t: (end_measure(t, "val_error") or 0.0, t.number))


def hypervolume(trials: Iterable[TrialRecord]) -> Hypervolume | None:
    """What the front of these trials dominates; None where the box has no area."""
    points = [p for t in trials if (p := _pair(t)) is not None]
    if not points:
        return None
    low = min(p[0] for p in points), min(p[1] for p in points)
    high = max(p[0] for p in points), max(p[1] for p in points)
    box = (high[0] - low[0]) * (high[1] - low[1])
    if box <= 0:
        return None
    area, ceiling = 0.0, high[1]
    for error, gflops in sorted(points):  # each adds the strip below the cheapest trial to its left
        if gflops < ceiling:
            area += (high[0] - error) * (ceiling - gflops)
            ceiling = gflops
    return Hypervolume(
        share=area / box, ideal_error=low[0], ideal_gflops=low[1], reference_error=high[0], reference_gflops=high[1]
    )  # fmt: skip


def knee(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trial at the knee of the front; None with fewer than three different points, or no bend."""
    points = {t.number: (t, p) for t in front(trials) if (p := _pair(t)) is not None}
    if len({p for _, p in points.values()}) < 3:
        return None
    errors, costs = zip(*(p for _, p in points.values()), strict=True)
    width, height = max(errors) - min(errors), max(costs) - min(costs)

    def below(item: tuple[TrialRecord, tuple[float, float]]) -> float:
        error, gflops = item[1]
        return 1 - (error - min(errors)) / width - (gflops - min(costs)) / height

    bend = max(points.values(), key=below)
    return bend[0] if below(bend) > 0 else None


def _pair(trial: TrialRecord) -> tuple[float, float] | None:
    error, gflops = end_measure(trial, "val_error"), end_measure(trial, "train_gflops")
    return None if error is None or gflops is None else (error, gflops)


def best(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the lowest validation error; of equals the cheapest, then the earliest."""
    known = [(error, t) for t in trials if (error := end_measure(t, "val_error")) is not None]
    return min(known, key=lambda row: (row[0], _cost(row[1]), row[1].number))[1] if known else None


def _cost(trial: TrialRecord) -> float:
    cost = end_measure(trial, "train_gflops")
    return math.inf if cost is None else cost
