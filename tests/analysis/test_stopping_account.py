"""The account of early stopping agrees with the rule asked by hand, trial by trial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reprtune.analysis.stopping_account import Stopped, account, spread, winner_stopped
from reprtune.history import History, Point
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.spec.stop_rules import Median, NoStop, StopRule
from reprtune.stopping.curves import Rival, Standing
from reprtune.stopping.rungs import should_stop
from reprtune.stopping.standard import StandardCurve
from tests.factories import FACTS, START, make_spec, make_study
from tests.flat import with_attempts, with_fields

TOTAL = 100


def history(errors: dict[int, float], begun: float) -> History:
    """Evaluated every 10 steps, a second each; `errors` at its rungs, 0.9 elsewhere."""
    last = max(errors)
    return History(
        total_steps=TOTAL,
        steps_per_epoch=10,
        rungs=tuple(s for s in errors if s < TOTAL),
        points=tuple(
            Point(
                step=s, phase="full", cycle=0, lr=0.1, train_loss=1.0, val_loss=1.0, val_error=errors.get(s, 0.9),
                gflops=2.0 * s, seconds=s / 10, time=begun + s / 10,
            )
            for s in range(10, last + 1, 10)
        ),
    )  # fmt: skip


def trial(number: int, outcome: str, errors: dict[int, float], begun: float, seed: int = 0) -> TrialRecord:
    """Planned to cost 200 GFLOPs; rungs at the given steps."""
    story = history(errors, begun)
    last = story.points[-1]
    values = {"val_error": last.val_error, "train_gflops": last.gflops} if outcome == "complete" else None
    return TrialRecord(
        section="search", number=number, slot=number, arm=None, seed=seed, outcome=outcome, history=story, values=values,
        rungs=tuple(errors.items()), planned_gflops=200.0, started=begun, ended=last.time,
        result={"seconds_spent": last.seconds},
    )  # fmt: skip


def study(*trials: TrialRecord, rule: StopRule | None = None, **fields: object) -> StudyRecord:
    spec = make_spec(("val_error",), len(trials), stop=rule or Median(min_comparable=3), **fields)
    return StudyRecord(
        spec=spec, digest="d", facts={**FACTS, "steps_per_epoch": 10}, created=START, version="0", attempts={"search": tuple(trials)}
    )  # fmt: skip


def three_and_one() -> StudyRecord:
    """Three complete ones; the fourth has 0.5 at step 40, where the others have 0.4, 0.3 and 0.2."""
    whole = [
        trial(i, "complete", {20: e + 0.2, 60: e - 0.2, 100: e - 0.25}, 0.0)
        for i, e in enumerate((0.4, 0.3, 0.25))
    ]
    return study(*whole, trial(3, "stopped", {40: 0.5}, 20.0))


def test_a_stopped_trial_by_hand() -> None:
    """Interpolated to step 40, the others have 0.4, 0.3 and 0.25: fourth of four, 0.25 above the later best;
    60 of 100 steps were saved, which are 120 of 200 GFLOPs and 6 of 10 seconds."""
    found = account(three_and_one())
    (row,) = found.stopped
    assert row == Stopped(
        number=3, slot=3, seed=0, step=40, error=0.5, n_comparable=3, place=4, agrees=True,
        gap=pytest.approx(0.25), saved_gflops=pytest.approx(120.0), saved_seconds=pytest.approx(6.0),
    )  # fmt: skip
    assert found.saved("gflops") == pytest.approx(120.0) and found.spent_seconds == pytest.approx(34.0)
    assert (found.ahead, found.n_complete, found.n_replayed, found.n_front) == (0, 3, 3, 1)


def test_who_came_later_was_not_compared_with() -> None:
    """At the moment of the stop only rungs that had been trained by then count."""
    record = three_and_one()
    late = replace(record.trials[0], started=23.9, history=history(dict(record.trials[0].rungs), 23.9))
    (row,) = account(with_attempts(record, trials=(late, *record.trials[1:]))).stopped
    assert (row.n_comparable, row.agrees) == (2, False)  # fewer than min_comparable


def test_seeds_are_compared_with_the_same_seed() -> None:
    """What others did with another seed is no comparison; the seeds not begun are saved too."""
    record = three_and_one()
    other = [replace(t, seed=1) for t in record.trials[:3]]
    one = study(*other, record.trials[3], seeds=2)
    (row,) = account(one).stopped
    assert row.n_comparable == 0 and row.saved_gflops == pytest.approx(320.0)
    earlier = [
        replace(t, seed=1, earlier=(SeedRun(seed=0, history=t.history, rungs=t.rungs, planned_gflops=200.0),))
        for t in record.trials[:3]
    ]
    (row,) = account(study(*earlier, record.trials[3], seeds=2)).stopped
    assert (row.n_comparable, row.place) == (3, 4)


def plain_curve(record: StudyRecord, moment: float | None) -> StandardCurve | None:
    """Of the runs of standard that had ended by then."""
    runs = [
        [(p.step, p.val_error) for p in t.history.points]
        for t in record.controls
        if t.arm == "standard" and t.outcome == "complete" and (moment is None or t.ended <= moment)
    ]
    return StandardCurve(runs, milestones(record)) if runs else None


def milestones(record: StudyRecord) -> tuple[tuple[int, str], ...]:
    """Of the default schedule: a tenth from 40 % on, a hundredth from 70 % on."""
    total = record.spec.base.training.total.steps(record.facts["steps_per_epoch"])
    return ((0, "1"), (total * 4 // 10, "0.1"), (total * 7 // 10, "0.01"))


def by_hand(record: StudyRecord, own: TrialRecord, step: int, moment: float | None) -> bool:
    """The rule at this step, from whole curves one by one."""
    others, rates = [], milestones(record)
    for t in record.trials:
        if t.slot == own.slot or t.history is None or t.outcome in ("infeasible", "duplicate"):
            continue
        times = {p.step: p.time for p in t.history.points}
        if moment is None:
            curve, there, over = t.rungs, t.outcome in ("complete", "stopped", "running"), True
        else:
            curve = tuple((s, e) for s, e in t.rungs if times[s] <= moment)
            ended = float("inf") if t.ended is None else t.ended
            over = ended <= moment
            there = (t.outcome in ("complete", "stopped", "running") or not over) and (
                t.started or 0
            ) <= moment
        if there and t.planned_gflops is not None:
            others.append(Rival(curve, t.planned_gflops, rates, over and t.outcome == "stopped"))
    return should_stop(record.spec.search.stop, Standing(step, dict(own.rungs)[step], own.planned_gflops, stretches=rates, standard=plain_curve(record, moment)), others)  # fmt: skip


def lively() -> StudyRecord:
    """A study of the factory with rungs and planned costs, overlapping in time."""
    record = make_study(60, extras=("running", "lost"), seed=4)
    trials = []
    for t in record.trials:
        if t.history is None:
            trials.append(t)
            continue
        points = tuple(
            replace(p, time=START + 3.0 * t.number + 0.4 * i) for i, p in enumerate(t.history.points)
        )
        story = replace(t.history, points=points)
        marks = story.full_points()
        cost = points[-1].gflops * story.total_steps / points[-1].step
        ended = None if t.ended is None else points[-1].time
        trials.append(
            replace(t, history=story, rungs=tuple(marks), planned_gflops=cost, started=START + 3.0 * t.number, ended=ended)
        )  # fmt: skip
    return with_attempts(record, trials=tuple(trials))


def test_replays_are_those_of_the_rule_asked_one_by_one() -> None:
    """All at once in arrays, or each curve by itself: the same numbers, for then and for now."""
    record = lively()
    found = account(record)
    then = now = n_then = n_now = judged = 0
    for t in record.complete():
        assert t.history is not None
        times = {p.step: p.time for p in t.history.points}
        steps = [s for s, _ in t.rungs if s in t.history.rungs and s < t.history.total_steps]
        at_time = [by_hand(record, t, s, times[s]) for s in steps]
        at_end = [by_hand(record, t, s, None) for s in steps]
        judged += len(steps)
        then, now = then + sum(at_time), now + sum(at_end)
        n_then, n_now = n_then + any(at_time), n_now + any(at_end)
    assert judged > 20 and now > 0
    assert sum(r.judged for r in found.rungs) == judged
    assert (sum(r.then for r in found.rungs), sum(r.now for r in found.rungs)) == (then, now)
    assert (found.n_then, found.n_now) == (n_then, n_now)


def test_nothing_is_replayed_without_a_rule() -> None:
    """The rule `none` stops nobody, so there is nothing to ask."""
    found = account(study(*three_and_one().trials[:3], rule=NoStop()))
    assert (found.rungs, found.n_replayed, found.stopped) == ((), 0, ())


def test_a_choice_is_even_and_always_the_same() -> None:
    """Every second of ten for five; all where there are no more."""
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(3), 0) == []


def test_a_rule_that_never_acted_is_not_replayed() -> None:
    """Where validation error is no objective, workers compare no trial."""
    record = three_and_one()
    spec = with_fields(record.spec, objectives=("train_gflops",), stop="none")
    assert account(record).n_replayed == 3
    assert account(replace(record, spec=spec)).n_replayed == 0


def test_the_seeds_that_a_diverged_trial_had_finished_are_compared() -> None:
    """As the worker does: its first seed stays a rival of other first seeds, its second does not."""
    record = three_and_one()
    bad = trial(4, "diverged", {40: 0.1}, 0.0, seed=1)
    first = SeedRun(seed=0, history=history({40: 0.45}, 0.0), rungs=((40, 0.45),), planned_gflops=200.0)
    more = with_attempts(record, trials=(*record.trials, replace(bad, earlier=(first,))))
    (row,) = account(more).stopped
    assert (row.n_comparable, row.place) == (4, 5)
    spec = with_fields(record.spec, seeds=2)
    mine = replace(record.trials[3], seed=1)
    (row,) = account(
        with_attempts(replace(more, spec=spec), trials=(*record.trials[:3], mine, more.trials[4]))
    ).stopped
    assert row.n_comparable == 0


def test_an_attempt_whose_slot_was_queued_again_is_no_rival_beside_the_one_after_it() -> None:
    """As the worker does: the one after it has its finished seeds, which count once."""
    record = three_and_one()
    first = SeedRun(seed=0, history=history({40: 0.45}, 0.0), rungs=((40, 0.45),), planned_gflops=200.0)
    broken = replace(trial(4, "error", {40: 0.1}, 0.0, seed=1), earlier=(first,), ended=20.0, repaired=True)
    after = replace(broken, number=5, outcome="running", started=21.0, ended=None, repaired=False)
    (row,) = account(with_attempts(record, trials=(*record.trials, broken, after))).stopped
    assert (row.n_comparable, row.place) == (4, 5)


@pytest.mark.parametrize(("ended", "n"), [(30.0, 4), (20.5, 3)])
def test_an_attempt_that_was_lost_later_was_a_rival_then(ended: float, n: int) -> None:
    """The stop was at 24 s: until its loss was noticed an attempt counts; now it is no rival any more."""
    record = three_and_one()
    assert record.trials[3].ended == 24.0
    lost = replace(trial(4, "lost", {40: 0.1}, 0.0), history=None, ended=ended)
    found = account(with_attempts(record, trials=(*record.trials, lost)))
    assert found.stopped[0].n_comparable == n
    assert found.rungs == account(record).rungs, "asked now, it is not there"


def test_the_rung_at_which_the_winner_would_be_stopped() -> None:
    """The best in the end, 0.05, was the worst at its second rung and none of the worse half at its first."""
    others = [
        trial(i, "complete", {20: 0.5 + e, 60: 0.3 + e, 100: 0.1 + e}, 0.0)
        for i, e in enumerate((0, 0.01, 0.02))
    ]
    for error, rung in ((0.4, 2), (0.2, None)):
        winner = trial(3, "complete", {20: 0.4, 60: error, 100: 0.05}, 0.0)
        assert winner_stopped(study(*others, winner)) == rung
        assert winner_stopped(study(*others, winner, rule=NoStop())) is None


def test_without_a_complete_trial_no_winner_was_stopped() -> None:
    """There is nothing to ask about."""
    assert winner_stopped(study(three_and_one().trials[3])) is None
