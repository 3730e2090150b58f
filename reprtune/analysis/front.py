"""The Pareto front of a study: complete trials that no other beats in error and in cost."""

from __future__ import annotations

import math
from collections.abc import Iterable

from reprtune.analysis.attempts import MEASURES, end_measure
from reprtune.record.schema import TrialRecord
from reprtune.spec.dominance import ranks


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


def best(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the lowest validation error; of equals the cheapest, then the earliest."""
    known = [(error, t) for t in trials if (error := end_measure(t, "val_error")) is not None]
    return min(known, key=lambda row: (row[0], _cost(row[1]), row[1].number))[1] if known else None


def _cost(trial: TrialRecord) -> float:
    cost = end_measure(trial, "train_gflops")
    return math.inf if cost is None else cost
