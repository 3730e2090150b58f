"""Does what a search may spend suffice for its slots?

*Notations*

    x_1 .. x_k   what each finished slot has spent, all its attempts together
    n            slots that are left, those that run counted by the share that is left of them
    expected     spent + n mean(x)
    low          its lower end, one-sided at 95 %: expected - t_{0.95, k-1} s sqrt(n + n^2 / k), s the standard deviation
                 of the x: as the time that is left (`analysis.pace`)
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from reprtune.analysis.attempts import deciding
from reprtune.analysis.check import Check, made, not_yet
from reprtune.analysis.level import LEVEL
from reprtune.analysis.pace import MIN_TIMED, share_done
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord
from reprtune.spec.sections.search import Search


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Of one limit of a search.

    Attributes:
        field: `max_seconds` or `max_gflops`. limit: its value. spent: of it.
        slots: of the search. n_cut: slots that were not begun or not trained to the end because it was used up.
        n: finished slots that the estimate rests on. expected, low: what all slots will have spent; None where too few
            are finished.
    """

    field: str
    limit: float
    spent: float
    slots: int
    n_cut: int
    n: int
    expected: float | None = None
    low: float | None = None

    @property
    def is_short(self) -> bool:
        """Has it cut slots off, or will it surely do so?"""
        return self.n_cut > 0 or (self.low is not None and self.low > self.limit)


def spendings(record: StudyRecord) -> tuple[Spending, ...]:
    """One for each limit; the one that is the shortest first."""
    search = record.spec.search
    if search is None or not search.is_limited:
        return ()
    limits = (("max_seconds", search.max_seconds), ("max_gflops", search.max_gflops))
    found = [
        _spending(record, search, field, limit, spent)
        for (field, limit), spent in zip(limits, record.spent, strict=True)
        if limit is not None
    ]
    return tuple(sorted(found, key=lambda s: -max(s.spent, s.expected or 0.0) / s.limit))


def _spending(record: StudyRecord, search: Search, field: str, limit: float, spent: float) -> Spending:
    key = f"{field.removeprefix('max_')}_spent"
    by_slot: dict[int, float] = {}
    for trial in record.trials:
        by_slot[trial.slot] = by_slot.get(trial.slot, 0.0) + float(trial.result.get(key) or 0.0)
    last = deciding(record.trials)
    whole = [t for t in last if t.is_final and t.outcome != Outcome.OVER_BUDGET]
    running = sum(share_done(t, search.seeds) for t in last if t.outcome == Outcome.RUNNING)
    expected = low = None
    if len(whole) >= MIN_TIMED:
        left = max(0.0, search.slots - len(whole) - running)
        expected, low = _estimate(spent, [by_slot[t.slot] for t in whole], left)
    return Spending(
        field=field, limit=limit, spent=spent, slots=search.slots,
        n_cut=sum(t.outcome == Outcome.OVER_BUDGET for t in last), n=len(whole), expected=expected, low=low,
    )  # fmt: skip


def _estimate(spent: float, each: Sequence[float], left: float) -> tuple[float, float]:
    from scipy import stats  # `status` reads a study without it

    k, expected = len(each), spent + left * statistics.fmean(each)
    half = float(stats.t.ppf(LEVEL, k - 1)) * statistics.stdev(each) * math.sqrt(left + left * left / k)
    return expected, max(spent, expected - half)


def check_budget(record: StudyRecord) -> Check:
    name, found = "budget", spendings(record)
    if not found:
        return not_yet(name, "The search has no limit of seconds or GFLOPs.")
    s = next((s for s in found if s.is_short), found[0])
    if s.expected is None and not s.n_cut:
        return not_yet(name, "Too few slots are finished to tell how much all will take.")
    return made(name, s.is_short, **asdict(s))
