"""What early stopping did: who was stopped, against whom, what it saved, and what it may have cost.

*Notations*
    e(s)     error of a trial at step s: at its rungs, and between them as the rule takes it (`stopping.curves`)
    moment   when the stopped trial was judged: its end
    known    the others' rungs that had been trained by that moment
    place    1 + how many of the comparable have a smaller error at that step
    gap      e(s) of the stopped trial minus e(s) of the study's best trial in the end, which need not have a rung
             at s: an estimate, as the rule makes it

Two replays of the rule on complete trials. *Then*: at each rung, with what was known at that time; they went
on, so the rule should let them (a check that record and rule agree). *Now*: at each rung, as if the trial had
come last of all; those the rule would have stopped show what it may have cost, for a stopped trial's own end
is never known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from reprtune.analysis.attempts import seconds_spent
from reprtune.analysis.front import front
from reprtune.analysis.rival_field import Court, rungs_of
from reprtune.record.ranking import best
from reprtune.record.repeats import joined
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.spec.objectives import COST
from reprtune.stopping.rungs import judge

T = TypeVar("T")
MAX_REPLAYED = 150  # trials of each kind that are judged again: a judgement looks at all others


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """One trial that was stopped.

    Attributes:
        step: of the rung. error: there.
        n_comparable, place: against those known at the moment. agrees: whether the rule says so again;
            None where it was not asked again.
        gap: None where the best trial has no error at that step.
        saved_gflops, saved_seconds: from there to the planned end, later seeds included; an estimate from
            its own rates. None where nothing is known of them.
    """

    number: int
    slot: int
    seed: int
    step: int
    error: float
    n_comparable: int
    place: int
    agrees: bool | None
    gap: float | None
    saved_gflops: float | None
    saved_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class RungReplay:
    """The rule on complete trials at their first, second, ... rung.

    Attributes:
        judged: how many. then, now: how many of them it would have stopped (see the module).
    """

    rung: int
    judged: int
    then: int
    now: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """All of it.

    Attributes:
        n_complete: of the search. n_replayed: how many of them were replayed, the front first.
        n_then, n_now: replayed trials that the rule would have stopped at any rung.
        lost_front: of the replayed on the front, those that it would have stopped now.
        n_front: replayed trials on the front.
        ahead: stopped trials that stood before the later best at the same step.
        spent_seconds: of all attempts of the search together, shared beginnings once.
        by_difference: are errors compared by their differences to plain training, where a trial has its rates?
        counts_stopped: does a stopped trial count at later steps then?
    """

    rule: str
    steps_per_epoch: int
    stopped: tuple[Stopped, ...]
    rungs: tuple[RungReplay, ...]
    n_complete: int
    n_replayed: int
    n_then: int
    n_now: int
    n_front: int
    lost_front: int
    ahead: int
    spent_seconds: float
    by_difference: bool = False
    counts_stopped: bool = False

    def saved(self, what: str) -> float:
        """`gflops` or `seconds`, over all that were stopped."""
        return float(sum(getattr(s, f"saved_{what}") or 0.0 for s in self.stopped))


def account(record: StudyRecord) -> Account:
    """Look at every stopped trial, and replay the rule on the complete ones."""
    search = record.spec.search
    court = Court(record)
    settings = joined(record.trials)
    lead, on_front = best(record), {t.number for t in front(settings, record.spec.compared)}
    stopped = [t for t in record.trials if t.outcome == "stopped" and t.runs[-1].rungs]
    asked = {t.number for t in spread(stopped, MAX_REPLAYED)}
    rows = tuple(_stopped(record, t, court, lead, ask=t.number in asked) for t in stopped)
    complete = record.complete()
    first = [t for t in complete if t.number in on_front]
    others = [t for t in complete if t.number not in on_front]
    replayed = [*first, *spread(others, max(0, MAX_REPLAYED - len(first)))]
    replays = {t.number: _replay(t, court) for t in replayed if search is not None and search.stops_early}
    return Account(
        rule="none" if search is None else search.stop.kind,
        steps_per_epoch=int(record.facts.get("steps_per_epoch") or 1),
        stopped=rows,
        rungs=_by_rung(list(replays.values())),
        n_complete=len(complete),
        n_replayed=len(replays),
        n_then=sum(any(then for then, _ in r) for r in replays.values()),
        n_now=sum(any(now for _, now in r) for r in replays.values()),
        n_front=sum(n in replays for n in on_front),
        lost_front=sum(n in on_front and any(now for _, now in r) for n, r in replays.items()),
        ahead=sum(s.gap is not None and s.gap < 0 for s in rows),
        spent_seconds=seconds_spent(record.trials),
        by_difference=court.has_standard,
        counts_stopped=search is not None and judge(search.stop).counts_stopped,
    )


def winner_stopped(record: StudyRecord) -> int | None:
    """The rung, counted from 1, at which the rule would stop the search's best trial if that came last of all; None
    where it would not, where nothing is stopped early, or nobody is complete."""
    lead, search = best(record), record.spec.search
    if lead is None or search is None or not search.stops_early:
        return None
    asked = _replay(lead, Court(record))
    return next((rung for rung, (_, now) in enumerate(asked, 1) if now), None)


def spread(trials: Sequence[T], most: int) -> list[T]:
    """At most so many, evenly over the order: the same ones every time."""
    if len(trials) <= most:
        return list(trials)
    return [trials[i * len(trials) // most] for i in range(most)]


def _stopped(
    record: StudyRecord,
    trial: TrialRecord,
    court: Court,
    lead: TrialRecord | None,
    *,
    ask: bool,
) -> Stopped:
    run = trial.runs[-1]
    step, error = run.rungs[-1]
    errors = court.errors(trial, run, step, trial.ended)
    then = court.error_of(lead, trial, run, step) if lead else None
    gflops, seconds = _saved(record, run, step, court.total(run))
    return Stopped(
        number=trial.number,
        slot=trial.slot,
        seed=run.seed,
        step=step,
        error=error,
        n_comparable=len(errors),
        place=1 + sum(e < error for e in errors),
        agrees=court.stops(trial, run, step, trial.ended) if ask and trial.ended else None,
        gap=None if then is None else error - then,
        saved_gflops=gflops,
        saved_seconds=seconds,
    )


def _saved(
    record: StudyRecord, run: SeedRun, step: int, total: int | None
) -> tuple[float | None, float | None]:
    """(GFLOPs, seconds) from the rung to the planned end, and of the seeds that were not begun."""
    if total is None or not step:
        return None, None
    later = sum(seed > run.seed for seed in record.spec.trial_seeds())
    last = run.history.points[-1] if run.history and run.history.points else None
    spent = run.measured.get(COST, last.gflops if last else None)
    planned = run.planned_gflops or (spent * total / step if spent is not None else None)
    gflops = None if planned is None or spent is None else planned * (1 + later) - spent
    seconds = None if last is None else last.seconds * (total / step * (1 + later) - 1)
    return gflops, seconds


def _replay(trial: TrialRecord, court: Court) -> list[tuple[bool, bool]]:
    """(stopped then, stopped now) at every rung of a complete trial, seed by seed."""
    found = []
    for run in trial.runs:
        total = court.total(run)
        times = {p.step: p.time for p in run.history.points} if run.history else {}
        for step in rungs_of(run):
            if total is not None and step >= total:
                continue
            then = step in times and court.stops(trial, run, step, times[step])
            found.append((then, court.stops(trial, run, step)))
    return found


def _by_rung(replays: Sequence[Sequence[tuple[bool, bool]]]) -> tuple[RungReplay, ...]:
    longest = max(map(len, replays), default=0)
    at = [[r[i] for r in replays if len(r) > i] for i in range(longest)]
    return tuple(
        RungReplay(rung=i + 1, judged=len(rows), then=sum(t for t, _ in rows), now=sum(n for _, n in rows))
        for i, rows in enumerate(at)
    )
