"""The queue of slots: each is run once, whoever dies, and draws do not depend on who asks."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from reprtune.errors import StudyError
from reprtune.record import storage as stored
from reprtune.record.database import experimental_allowed, open_storage
from reprtune.record.locks import study_lock
from reprtune.record.trials import SEED_PREFIX, outcome
from reprtune.record.view import StudyView
from reprtune.study.queueing import MAX_LOST, refill
from reprtune.work.queue import Queue, queues
from tests.postgres import PostgreSQL
from tests.stored import LEASE, new_study
from tests.work.queueing import VALUES, end, fall_silent, outcomes, pending, search_queue, take

# -- taking ---------------------------------------------------------------------------------------


def test_slots_are_taken_in_order_each_once_until_none_waits(queue: Queue) -> None:
    """With the lease and all parameters written."""
    trials = [take(queue) for _ in range(4)]
    assert [t.user_attrs["slot"] for t in trials] == [0, 1, 2, 3]
    assert queue.take("w", LEASE) is None
    for trial in queue.trials():
        assert trial.state == TrialState.RUNNING and trial.user_attrs["lease"] == LEASE
        assert set(trial.params) == {"lr", "s1_epochs", "cycles", "criterion"}
        assert 0.001 <= trial.params["lr"] <= 0.1 and trial.params["s1_epochs"] in (1, 2, 3)
        assert trial.params["cycles"] in (1, 2) and trial.params["criterion"] in ("ortho", "l2", "random")


def test_controls_are_taken_before_the_search_and_draw_nothing(tmp_path: Path) -> None:
    """Everything is compared with them."""
    storage, _spec = new_study(tmp_path / "x.db")
    controls, search = queues(StudyView(storage, "tiny"))
    assert (controls.name, len(controls.trials())) == ("tiny.controls", 4)
    assert (search.name, len(search.trials())) == ("tiny", 4)
    trial = take(controls)
    assert trial.user_attrs["arm"] == "standard" and trial.params == {}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_many_at_once_never_take_one_slot_twice(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """8 takers, each with a connection of its own, 40 slots."""
    if database == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.new()
        storage, _ = new_study(url, slots=40)
    else:
        url = f"sqlite:///{tmp_path}/x.db"
        storage, _spec = new_study(tmp_path / "x.db", slots=40)
    taken: list[int] = []

    def work(worker: str) -> None:
        own = queues(StudyView(open_storage(url), "tiny"))[1]
        while (trial := own.take(worker, LEASE)) is not None:
            taken.append(trial.user_attrs["slot"])
        own.storage.engine.dispose()

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(40))
    trials = queues(StudyView(storage, "tiny"))[1].trials()
    assert len(trials) == 40 and {t.state for t in trials} == {TrialState.RUNNING}
    storage.engine.dispose()


def test_a_slot_that_was_queued_twice_runs_once(queue: Queue) -> None:
    """The second attempt ends as a duplicate, without training."""
    queue.study().enqueue_trial({}, user_attrs={"slot": 0})
    first = take(queue)
    assert first.user_attrs["slot"] == 0
    assert queue.take("w", LEASE) is None
    assert sorted(outcomes(queue)) == [
        (0, "duplicate"), (0, "running"), (1, "waiting"), (2, "waiting"), (3, "waiting")
    ]  # fmt: skip
    end(queue, first)
    assert take(queue).user_attrs["slot"] == 1 and refill(queue.view) == 0 and pending(queue) == 3


def test_a_trial_that_is_no_slot_is_left_alone(queue: Queue) -> None:
    """Somebody queues a trial of their own in our study."""
    queue.study().enqueue_trial({"lr": 0.05})
    for _ in range(4):
        take(queue)
    assert queue.take("w", LEASE) is None and len(queue.trials()) == 4


def test_a_study_that_was_removed_meanwhile_is_said_to_be(queue: Queue) -> None:
    """A worker that finds its study gone stops with words."""
    stored.delete(queue.storage, "tiny")
    with pytest.raises(StudyError, match="'tiny' has been removed"):
        queue.take("w", LEASE)


# -- giving back, dying, coming back --------------------------------------------------------------


def test_a_slot_that_is_given_back_goes_on_as_the_same_trial(queue: Queue) -> None:
    """It keeps number and parameters; the attempt stays, with what its worker wrote."""
    trial = take(queue)
    params = dict(trial.params)
    queue.give_back(trial, {"outcome": "interrupted", "steps_spent": 3})
    assert outcomes(queue) == [
        (0, "waiting"), (1, "waiting"), (2, "waiting"), (3, "waiting"), (0, "interrupted")
    ]  # fmt: skip
    copy = queue.trials()[4]
    assert copy.params == params and copy.user_attrs["result"]["steps_spent"] == 3
    assert copy.datetime_start is not None and copy.user_attrs["lease"] == LEASE
    again = take(queue, "other")
    assert again.number == trial.number and again.params == params and again.user_attrs["attempt"] == 1
    assert refill(queue.view) == 0


def test_a_slot_ended_while_it_waits_spends_nothing_twice(queue: Queue) -> None:
    """What the interrupted attempt spent stands with it alone; what the trial would have cost stays."""
    trial = take(queue)
    result = {
        "outcome": "interrupted",
        "steps_spent": 3,
        "seconds_spent": 1.5,
        "gflops_spent": 2.0,
        "steps_alone": 4,
    }
    trial.set_user_attr("paused", {**result, "rungs": {"points": [(4, 0.5)]}})
    queue.give_back(trial, result)
    assert queue.end_waiting("over-budget") == 4
    ended, copy = (queue.trials()[number].user_attrs["result"] for number in (trial.number, 4))
    assert ended["outcome"] == "over-budget" and ended["steps_alone"] == 4 and ended["rungs"]
    for name in ("steps_spent", "seconds_spent", "gflops_spent"):
        assert (copy[name], ended[name]) == (result[name], 0)


def test_a_slot_whose_worker_vanished_is_queued_with_its_parameters(queue: Queue) -> None:
    """After the grace period, not before; the new attempt comes before slots that were never begun."""
    trial = take(queue)
    fall_silent(queue.storage, trial, seconds=10)
    assert queue.reap() == set() and refill(queue.view) == 0
    fall_silent(queue.storage, trial, seconds=40)
    assert queue.reap() == {"w"} and refill(queue.view) == 1
    again = take(queue)
    assert again.user_attrs["slot"] == 0 and again.number == 4 and again.params == trial.params
    assert again.user_attrs["attempt"] == 1
    assert queue.reap() == set() and refill(queue.view) == 0


@contextmanager
def dying_at(engine: sqlalchemy.Engine, n: int) -> Iterator[None]:
    """Killed just before the `n`-th write."""
    left = n

    def die_late(_: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal left
        left -= statement.startswith(("INSERT", "UPDATE"))
        if left == 0:
            raise KeyboardInterrupt

    sqlalchemy.event.listen(engine, "before_cursor_execute", die_late)
    try:
        yield
    finally:
        sqlalchemy.event.remove(engine, "before_cursor_execute", die_late)


def test_a_worker_that_dies_at_any_write_while_taking_loses_nothing(tmp_path: Path) -> None:
    """Killed before its 1st, 2nd, 3rd, ... write: its slot is taken by the next, once, with the parameters of a draw
    that nobody disturbed."""
    undisturbed = take(search_queue(tmp_path / "undisturbed.db", slots=1)).params
    for step in itertools.count(1):
        queue = search_queue(tmp_path / f"{step}.db", slots=1)
        try:
            with dying_at(queue.storage.engine, step):
                queue.take("dead", LEASE)
            break
        except KeyboardInterrupt:
            pass
        with queue.storage.engine.begin() as connection:
            connection.execute(
                sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 day')")
            )
        queue.reap()
        refill(queue.view)
        trial = take(queue, "next")
        assert trial.user_attrs["slot"] == 0 and trial.params == undisturbed, step
        assert [o for _, o in outcomes(queue)].count("running") == 1
        queue.storage.engine.dispose()
    assert step > 4, "beat, lease, state and draw were met"


def test_a_trial_without_a_beat_is_noticed_and_reaped(queue: Queue) -> None:
    """Taken by Optuna's own `ask`, whose caller died before its first beat: Optuna alone would wait for ever."""
    with experimental_allowed():
        orphan = queue.study().ask()
    assert queue.reap() == set()  # from now on it can grow stale
    fall_silent(queue.storage, orphan)
    queue.reap()
    assert outcomes(queue)[0] == (0, "lost") and refill(queue.view) == 1
    assert take(queue).user_attrs["slot"] == 0


def test_the_slots_of_a_worker_that_is_known_to_be_dead_are_free_at_once(queue: Queue) -> None:
    """Only its own."""
    mine, others = take(queue, "dead"), take(queue, "alive")
    assert queue.release_worker("dead") == 1 and queue.release_worker("dead") == 0
    assert outcomes(queue)[:2] == [(0, "lost"), (1, "running")]
    assert refill(queue.view) == 1
    assert take(queue).params == mine.params and others.user_attrs["slot"] == 1


def test_a_worker_that_comes_back_cannot_write(queue: Queue) -> None:
    """Its trial was failed and its slot given to another: neither result nor outcome of it is taken."""
    trial = take(queue, "asleep")
    queue.release_worker("asleep")
    refill(queue.view)
    take(queue, "other")
    for write in (
        lambda: queue.give_back(trial, {"outcome": "interrupted"}),
        lambda: trial.set_user_attr("result", {"outcome": "complete"}),
    ):
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            write()
    with pytest.raises(ValueError, match="Cannot tell a FAIL trial"):
        queue.study().tell(trial, VALUES)
    assert outcomes(queue) == [(0, "lost"), (1, "waiting"), (2, "waiting"), (3, "waiting"), (0, "running")]


def test_a_stopped_trial_has_its_last_error_for_a_value_as_optuna_gives_it(tmp_path: Path) -> None:
    """Where there is one objective; held against a study of Optuna's own. Of two objectives there is no last one."""
    theirs = optuna.create_study()
    asked = theirs.ask()
    for n, objectives in enumerate((("val_error",), ("val_error", "train_gflops"))):
        queue = search_queue(tmp_path / f"{n}.db", objectives=objectives)
        trial = take(queue)
        if n == 0:
            for one in (asked, trial):
                one.report(0.5, 2)
                one.report(0.25, 4)
        trial.set_user_attr("result", {"outcome": "stopped"})
        queue.tell(trial, "stopped", None)
        told = queue.storage.get_trial(trial._trial_id)
        expected = theirs.tell(asked, state=TrialState.PRUNED).values if n == 0 else None
        assert (told.state, told.values) == (TrialState.PRUNED, expected)
    assert theirs.trials[0].values == [0.25]


def finished_seed(seed: int) -> dict[str, Any]:
    """As an attempt stores it."""
    rungs = {"points": [], "planned_gflops": None}
    return {"seed": seed, "state": "s", "rungs": rungs, "val_error": 0.5, "train_gflops": 2.0}


def test_a_slot_that_kills_its_workers_is_given_up_with_a_reason(queue: Queue) -> None:
    """After MAX_LOST workers; interruptions do not count. It is then used up, as an error."""
    for i in range(MAX_LOST):
        queue.give_back(take(queue), {"outcome": "interrupted"})
        assert take(queue).user_attrs["slot"] == 0 and pending(queue) == 4
        queue.release_worker("w")
        assert refill(queue.view) == 1, i
    assert pending(queue) == 3 and refill(queue.view) == 0
    last = queue.trials()[-1]
    assert outcome(last) == "error" and f"vanished {MAX_LOST} times" in last.user_attrs["result"]["error"]
    assert stored.read_study(queue.storage, "tiny").pending() == 7
    assert take(queue).user_attrs["slot"] == 1


def test_a_slot_that_was_given_back_and_then_lost_keeps_what_it_came_to(queue: Queue) -> None:
    """The trial that was given back has the smaller number, and is yet the last attempt: with its finished seed,
    and with what its device said."""
    queue.give_back(take(queue), {"outcome": "interrupted"})
    trial = take(queue)
    seed = finished_seed(0)
    trial.set_user_attr(f"{SEED_PREFIX}0", seed)
    queue.give_up(trial, "CUDA error: no")
    assert outcomes(queue)[0] == (0, "lost") and outcomes(queue)[-1] == (0, "interrupted")
    assert refill(queue.view) == 1
    assert take(queue).user_attrs[f"{SEED_PREFIX}0"] == seed
    for _ in range(MAX_LOST - 1):
        trial = next(t for t in queue.trials() if t.state == TrialState.RUNNING)
        queue.give_up(optuna.Trial(queue.study(), trial._trial_id), "CUDA error: no")
        refill(queue.view)
        queue.take("w", LEASE)
    error = next(t.user_attrs["result"]["error"] for t in queue.trials() if outcome(t) == "error")
    assert error == f"given up: its worker vanished {MAX_LOST} times (CUDA error: no)"


def test_a_slot_that_gets_further_each_time_is_never_given_up(queue: Queue) -> None:
    """Preempted machines kill its workers; a state later than any before begins the count anew, another one or one
    as late does not."""
    stored = [8 * n for n in range(2 * MAX_LOST)]  # each attempt goes on from the state of the one before
    for n, steps in enumerate([*stored, *[stored[-1]] * (MAX_LOST - 2)]):
        take(queue).set_user_attr("progress", {"step": steps + 3, "stored": steps})
        queue.release_worker("w")
        assert refill(queue.view) == 1 and pending(queue) == 4, n
    take(queue).set_user_attr("progress", {"step": 3, "stored": 0})  # its states were deleted: no further
    queue.release_worker("w")
    refill(queue.view)
    assert pending(queue) == 3 and outcome(queue.trials()[-1]) == "error"


def test_a_slot_that_finishes_a_seed_got_further(queue: Queue) -> None:
    """Whatever the next seed has stored."""
    for n in range(MAX_LOST + 2):
        trial = take(queue)
        trial.set_user_attr(f"{SEED_PREFIX}{n}", finished_seed(n))
        trial.set_user_attr("progress", {"stored": 0})
        queue.release_worker("w")
        assert refill(queue.view) == 1 and pending(queue) == 4, n


@pytest.mark.parametrize("outcome", ["complete", "stopped", "diverged", "out-of-memory", "error"])
def test_a_slot_that_is_used_up_never_runs_again(queue: Queue, outcome: str) -> None:
    """Whatever the end was."""
    end(queue, take(queue), outcome)
    assert pending(queue) == 3 and refill(queue.view) == 0 and take(queue).user_attrs["slot"] == 1


def test_several_may_requeue_at_once(tmp_path: Path) -> None:
    """A slot is queued again once, not once by each."""
    queue = search_queue(tmp_path / "x.db")
    take(queue)
    queue.release_worker("w")
    threads = [threading.Thread(target=lambda: refill(StudyView(queue.storage, "tiny"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes(queue)[4:] == [(0, "waiting")]


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path, postgresql: PostgreSQL) -> None:
    """In a file beside SQLite and in PostgreSQL: `take` would wait for ever otherwise."""
    for where in (tmp_path / "x.db", postgresql.new()):
        queue = search_queue(where)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=hold_lock, args=(str(queue.storage.url), there))
        process.start()
        assert here.recv() == "held"
        taken: list[optuna.Trial] = []
        thread = threading.Thread(target=lambda queue=queue, taken=taken: taken.append(take(queue)))
        thread.start()
        thread.join(timeout=0.5)
        assert not taken, "the lock is held"
        process.kill()
        thread.join(timeout=200)
        assert [t.user_attrs["slot"] for t in taken] == [0]
        process.join()
        queue.storage.engine.dispose()


def hold_lock(url: str, pipe: Any) -> None:
    with study_lock(open_storage(url), "tiny"):
        pipe.send("held")
        time.sleep(60)
