"""The Pareto front of a study: complete trials that no other beats in all that they are compared by.

*Notations*

    measures           objectives by name, the error first (see `StudySpec.compared`)
    ideal, reference   lowest and highest of each measure over the complete trials
    hypervolume        of two measures: share of the box from ideal to reference that the front dominates, in
                       [0, 1]; 1 when one trial is best in both (Zitzler and Thiele 1998)
    knee               of two measures: the trial of the front farthest below the straight line between its two
                       ends, both measures scaled to run from 0 to 1 along it (Das 1999)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reprtune.record.leaders import rank
from reprtune.record.measures import at_the_end
from reprtune.record.schema import TrialRecord
from reprtune.spec.objectives import ERROR
from reprtune.stopping.dominance import ranks


@dataclass(frozen=True, kw_only=True)
class Hypervolume:
    """`share` of the box between `ideal` and `reference`, two numbers each."""

    share: float
    ideal: tuple[float, ...]
    reference: tuple[float, ...]


def front_ranks(trials: Iterable[TrialRecord], measures: Sequence[str]) -> dict[int, int]:
    """Number -> rank (0 = on the front) of every complete trial that has all measures."""
    known = {t.number: p for t in trials if (p := point(t, measures)) is not None}
    return dict(zip(known, ranks(list(known.values())), strict=True))


def front(trials: Iterable[TrialRecord], measures: Sequence[str]) -> list[TrialRecord]:
    """The trials on the front, lowest error first."""
    trials = list(trials)
    ranked = front_ranks(trials, measures)
    chosen = [t for t in trials if ranked.get(t.number) == 0]
    return sorted(chosen, key=lambda t: (at_the_end(t, ERROR) or 0.0, t.number))


def point(trial: TrialRecord, measures: Sequence[str]) -> tuple[float, ...] | None:
    """The measures of a complete trial; None where one is not known."""
    found = [x for m in measures if (x := at_the_end(trial, m)) is not None]
    return tuple(found) if len(found) == len(measures) else None


def hypervolume(trials: Iterable[TrialRecord], measures: Sequence[str]) -> Hypervolume | None:
    """What the front of these trials dominates; None where the box has no area, or other than two sides."""
    points = [p for t in trials if (p := point(t, measures)) is not None]
    if not points or len(measures) != 2:
        return None
    low, high = (tuple(limit(p[i] for p in points) for i in (0, 1)) for limit in (min, max))
    box = (high[0] - low[0]) * (high[1] - low[1])
    if box <= 0:
        return None
    area, ceiling = 0.0, high[1]
    for left, bottom in sorted(points):  # each adds the strip below the lowest trial to its left
        if bottom < ceiling:
            area += (high[0] - left) * (ceiling - bottom)
            ceiling = bottom
    return Hypervolume(share=area / box, ideal=low, reference=high)


def knee(trials: Iterable[TrialRecord], measures: Sequence[str]) -> TrialRecord | None:
    """The trial at the knee of the front; None with fewer than three different points, no bend, or other than
    two measures."""
    points = {t.number: (t, p) for t in front(trials, measures) if (p := point(t, measures)) is not None}
    if len(measures) != 2 or len({p for _, p in points.values()}) < 3:
        return None
    xs, ys = zip(*(p for _, p in points.values()), strict=True)
    width, height = max(xs) - min(xs), max(ys) - min(ys)

    def below(item: tuple[TrialRecord, tuple[float, ...]]) -> float:
        x, y = item[1]
        return 1 - (x - min(xs)) / width - (y - min(ys)) / height

    bend = max(points.values(), key=below)
    return bend[0] if below(bend) > 0 else None


def best(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """The complete trial, or setting, with the lowest validation error; of equals the cheapest, then the earliest."""
    return min((t for t in trials if at_the_end(t, ERROR) is not None), key=rank, default=None)
