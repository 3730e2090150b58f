"""How fast a study goes, and when it will end: from its own finished slots and nothing else.

*Notations*

    k       number of finished slots that were timed; those ended over budget are not
    m, s    mean and standard deviation of the seconds from a slot's beginning to its end
    n       slots that are left, those that run counted by the share that is left of them
    w       slots that run at once

What is left takes n m / w seconds. The sum of n slots still to come deviates from n m by about
s sqrt(n + n^2 / k): their own spread, and what k slots leave unknown of the mean. The interval is Student's
with k - 1 degrees of freedom, at 90 %. Slots that share a beginning, are stopped early or resumed enter as
they are; a change of machines does not.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace

from reprtune.record.schema import StudyRecord, TrialRecord

MIN_TIMED = 3
LEVEL = 0.9
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """All times in seconds.

    Attributes:
        finished: slots of all sections that are used up. total: all there are.
        running: slots being trained. per_hour: slots finished in an hour at the present number of running
            ones; None while nothing runs, or fewer than `MIN_TIMED` slots were timed.
        last_hour: slots that ended within the last hour.
        left: until the end; low, high: its interval; None likewise.
    """

    finished: int
    total: int
    running: int
    last_hour: int
    per_hour: float | None = None
    left: float | None = None
    low: float | None = None
    high: float | None = None


def attempts(study: StudyRecord) -> tuple[TrialRecord, ...]:
    """Of all sections."""
    return study.everything


def find_pace(study: StudyRecord, now: float) -> Pace:
    """The pace of a study as it is stored `now`, seconds since 1970."""
    total = study.planned()
    used = {(t.section, t.slot) for t in study.everything if t.is_final}
    running = [t for t in attempts(study) if t.outcome == "running"]
    trained = [t for t in attempts(study) if t.is_final and t.outcome != "over-budget"]
    recent = sum(now - (t.ended or 0.0) <= HOUR for t in trained)
    known = Pace(finished=len(used), total=total, running=len(running), last_hour=recent)
    times = [t.ended - t.started for t in trained if t.started and t.ended]
    if not running or len(times) < MIN_TIMED:
        return known
    left = max(0.0, total - len(used) - sum(share_done(t, study.spec.n_seeds) for t in running))
    mean, spread = statistics.fmean(times), statistics.stdev(times)
    return _estimate(known, left, mean, spread, len(times))


def _estimate(known: Pace, n: float, mean: float, spread: float, k: int) -> Pace:
    from scipy import stats

    w = max(1, known.running)
    middle = n * mean / w
    half = float(stats.t.ppf((1 + LEVEL) / 2, k - 1)) * spread * math.sqrt(n + n * n / k) / w
    return replace(
        known,
        per_hour=HOUR * w / mean if mean > 0 else None,
        left=middle,
        low=max(0.0, middle - half),
        high=middle + half,
    )


def share_done(trial: TrialRecord, n_seeds: int = 1) -> float:
    """The share of its steps that a running trial has behind it, in [0, 1]."""
    progress = (
        trial.progress if trial.progress.get("seed", trial.seed) == trial.seed else {}
    )  # of the seed before
    step, total = progress.get("step", 0), progress.get("total", 0)
    seeds = n_seeds if trial.is_drawn else 1
    return min(1.0, (len(trial.earlier) + (step / total if total else 0.0)) / max(1, seeds))


def speed(trial: TrialRecord) -> float | None:
    """Steps a second, while its worker really trained it; None before it has trained any."""
    steps, seconds = trial.progress.get("steps", 0), trial.progress.get("seconds", 0.0)
    return steps / seconds if steps and seconds else None
