"""Spans, gaps and utilisation by hand, and against a count second by second."""

from __future__ import annotations

import random
from dataclasses import replace

from reprtune.analysis.timeline import gaps, timeline
from reprtune.record.schema import StudyRecord, TrialRecord
from tests.factories import make_study, make_trial
from tests.flat import with_attempts


def at(number: int, worker: str, start: float, end: float | None, outcome: str = "complete") -> TrialRecord:
    trial = make_trial(make_study(1, extras=()).spec, number, outcome)
    return replace(trial, started=start, ended=end, lease={"worker": worker, "host": "h", "device": "cpu"})


def study(*trials: TrialRecord) -> StudyRecord:
    return with_attempts(make_study(1, extras=(), control_seeds=()), trials=trials)


def test_a_worker_by_hand() -> None:
    """10 s, a gap of 5 s, 15 s: 25 of 30 s, whoever else worked meanwhile."""
    found = timeline(study(at(0, "a", 100, 110), at(1, "b", 102, 104), at(2, "a", 115, 130, "stopped")))
    (a, b) = found.workers
    assert (a.worker, a.n, a.ended) == ("a", 2, {"complete": 1, "stopped": 1})
    assert (a.busy, a.longest_gap, a.utilisation) == (25, 5, 25 / 30)
    assert (b.worker, b.utilisation, b.longest_gap) == ("b", 1.0, 0.0)
    assert found.pauses == ((110, 115),)
    assert [(s.number, s.start, s.end) for s in found.spans] == [(0, 100, 110), (1, 102, 104), (2, 115, 130)]


def test_slots_held_at_once_count_once() -> None:
    """Two overlapping attempts are not two hundred per cent."""
    (a,) = timeline(study(at(0, "a", 0, 10), at(1, "a", 5, 20))).workers
    assert (a.busy, a.utilisation) == (20, 1.0)


def test_one_that_runs_ends_with_what_is_known() -> None:
    """The last time recorded anywhere stands for now; attempts that were never trained have no span."""
    running = replace(at(1, "b", 50, None, "running"), progress={"time": 75.0}, history=None)
    found = timeline(
        study(replace(at(0, "a", 1, 60), history=None), running, at(2, "a", 70, 71, "infeasible"))
    )
    assert [(s.number, s.end) for s in found.spans] == [(0, 60), (1, 75)]


def test_gaps_are_those_of_a_count_second_by_second() -> None:
    """Random whole seconds against a set of the seconds that are covered."""
    rng = random.Random(3)
    for _ in range(50):
        starts = [rng.randrange(60) for _ in range(6)]
        intervals = [(float(s), float(s + rng.randrange(1, 9))) for s in starts]
        covered = {x for a, b in intervals for x in range(int(a), int(b))}
        free = set(range(min(starts), int(max(b for _, b in intervals)))) - covered
        found = gaps(intervals)
        assert {x for a, b in found for x in range(int(a), int(b))} == free
        assert all(a < b for a, b in found)


def test_a_slot_ended_over_budget_while_it_waited_has_no_span() -> None:
    """It keeps the start of the attempt that was interrupted; one that was trained and cut short has one."""
    waited = replace(at(1, "a", 0, 90, "over-budget"), result={"steps_spent": 0})
    cut = replace(at(2, "a", 20, 30, "over-budget"), result={"steps_spent": 4})
    found = timeline(study(at(0, "a", 0, 10, "interrupted"), waited, cut))
    assert [s.number for s in found.spans] == [0, 2] and found.workers[0].busy == 20
