"""Who trained what when: attempts as spans of time, and how busy each worker was.

*Notations*
    span         from the start of an attempt to its end; one that runs ends at the last time recorded
    busy         length of the union of a worker's spans, seconds
    utilisation  busy / (end of its last span - start of its first), in [0, 1]
    pause        time within the study in which no attempt ran anywhere

A lost attempt ends when its loss was noticed, which is later than its worker's end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reprtune.record.labels import trial_label
from reprtune.record.schema import StudyRecord, TrialRecord

UNKNOWN = "unknown"
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Span:
    """One attempt, `slot` the label of its trial; `start` and `end` in seconds since 1970."""

    worker: str
    host: str
    slot: str
    number: int
    outcome: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Busy:
    """One worker.

    Attributes:
        n: its attempts. ended: outcome -> how many.
        busy, longest_gap: seconds. utilisation: see the module.
    """

    worker: str
    host: str
    device: str
    n: int
    ended: dict[str, int]
    start: float
    end: float
    busy: float
    longest_gap: float
    utilisation: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Spans by start; workers by host and start; pauses in order."""

    spans: tuple[Span, ...]
    workers: tuple[Busy, ...]
    pauses: tuple[Interval, ...]


def timeline(record: StudyRecord) -> Timeline:
    """Every attempt that began, of all sections."""
    begun = [t for t in record.everything if t.started is not None]
    begun = [t for t in begun if t.outcome.is_trained and not _idle(t)]
    now = max((x for t in begun for x in _times(t)), default=0.0)
    spans = sorted((_span(t, now) for t in begun), key=lambda s: (s.start, s.number))
    devices = {
        _span(t, now).worker: str(t.lease.get("device") or t.result.get("device") or "") for t in begun
    }
    by_worker: dict[str, list[Span]] = {}
    for span in spans:
        by_worker.setdefault(span.worker, []).append(span)
    workers = [_busy(own, devices[worker]) for worker, own in by_worker.items()]
    return Timeline(
        spans=tuple(spans),
        workers=tuple(sorted(workers, key=lambda w: (w.host, w.start, w.worker))),
        pauses=tuple(gaps([(s.start, s.end) for s in spans])),
    )


def _idle(trial: TrialRecord) -> bool:
    """Ended over budget while its slot waited to go on: its start is that of the attempt before."""
    return trial.outcome == "over-budget" and not trial.result.get("steps_spent")


def _times(trial: TrialRecord) -> list[float]:
    points = trial.history.points[-1:] if trial.history else ()
    times = [trial.started, trial.ended, trial.progress.get("time"), *(p.time for p in points)]
    return [float(t) for t in times if t is not None]


def _span(trial: TrialRecord, now: float) -> Span:
    start = float(trial.started or 0.0)
    end = now if trial.ended is None else trial.ended
    host = str(trial.lease.get("host") or trial.result.get("host") or UNKNOWN)
    return Span(
        worker=str(trial.lease.get("worker") or host), host=host, slot=trial_label(trial), number=trial.number,
        outcome=trial.outcome, start=start, end=max(start, end),
    )  # fmt: skip


def _busy(spans: Sequence[Span], device: str) -> Busy:
    intervals = [(s.start, s.end) for s in spans]
    start, end = spans[0].start, max(s.end for s in spans)
    idle = [b - a for a, b in gaps(intervals)]
    busy = end - start - sum(idle)
    outcomes = [s.outcome for s in spans]
    return Busy(
        worker=spans[0].worker, host=spans[0].host, device=device, n=len(spans),
        ended={o: outcomes.count(o) for o in sorted(set(outcomes))}, start=start, end=end, busy=busy,
        longest_gap=max(idle, default=0.0), utilisation=busy / (end - start) if end > start else 1.0,
    )  # fmt: skip


def gaps(intervals: Iterable[Interval]) -> list[Interval]:
    """What lies between the first start and the last end and in none of them."""
    found: list[Interval] = []
    reached: float | None = None
    for start, end in sorted(intervals):
        if reached is not None and start > reached:
            found.append((reached, start))
        reached = end if reached is None else max(reached, end)
    return found
