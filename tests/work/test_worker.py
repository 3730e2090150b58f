"""A worker: finishes what there is, survives what goes wrong in a trial, and leaves nothing half-done."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import torch
from optuna.trial import TrialState

from reprtune.errors import DataError, StudyError
from reprtune.record.away import StorageAway
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import find_slot
from reprtune.record.storage import ADDED
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.space import Choice
from reprtune.states.store import StateStore
from reprtune.study.sameness import check_data
from reprtune.tracking.journal import Journal
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.member import Member
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.work.launch import forget_beginnings
from reprtune.work.process import WorkerMessage, worker_name
from reprtune.work.queue import Queue
from tests.flat import with_fields
from tests.stored import LEASE
from tests.tiny_study import STUDY
from tests.work.tiny_worker import (
    LOADED_DATA,
    create,
    make_worker,
    queues_of,
    read,
    search_of,
    settled,
    work,
)

pytestmark = pytest.mark.usefixtures("short_lease")
CRITERIA = {"method.criterion": Choice(options=("l2", "random"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The settings and the record of a tiny study that one worker ran to its end."""
    settings = create(tmp_path_factory.mktemp("whole"))
    return settings, work(settings)


# -- what a finished study is ---------------------------------------------------------------------


def test_a_worker_alone_finishes_the_study(whole: Any) -> None:
    """Every slot and every control once, with values, curve, cost, lease and times."""
    _, study = whole
    assert study.pending() == 0 and study.counts()["complete"] == 4
    assert sorted(t.slot for t in study.final()) == [0, 1, 2, 3]
    assert [(t.arm, t.seed) for t in study.controls] == [
        ("standard", 0), ("standard", 1), ("base", 0), ("base", 1)
    ]  # fmt: skip
    for trial in (*study.complete(), *study.controls):
        last = trial.history.points[-1]
        assert last.step == 8 and trial.values["val_error"] == last.val_error
        assert trial.lease["worker"] == worker_name(0) and trial.started <= trial.ended
        assert {"host", "device", "versions", "state", "seconds_spent"} <= trial.result.keys()
    assert all(t.values["train_gflops"] == t.history.points[-1].gflops for t in study.complete())


def test_what_trials_share_is_trained_once_and_ends_as_if_alone(whole: Any) -> None:
    """Each trial again without a store, as an oracle: the same curve, number by number."""
    _, study = whole
    trials = (*study.complete(), *study.controls)
    spent = sum(t.result["steps_spent"] for t in trials)
    alone = sum(t.result["steps_alone"] for t in trials)
    assert alone == 8 * len(trials) and spent < alone
    cells = study.spec.arm_cells()
    for trial in trials:
        spec = study.spec.trial(trial.params) if trial.arm is None else cells[trial.slot][2]
        run = Chain(spec, LOADED_DATA)
        assert sum(1 for _ in run) > 0
        assert [p.val_loss for p in run.history.points] == [p.val_loss for p in trial.history.points]


def test_a_finished_study_keeps_only_the_last_states(whole: Any) -> None:
    """One for each different end; no beginnings, no pauses, no claims."""
    settings, study = whole
    forget_beginnings(settings, study.digest)
    left = {path.stem for path in settings.states.rglob("*.state")}
    assert left == {t.result["state"] for t in (*study.complete(), *study.controls)}
    assert list((settings.states / "claims").iterdir()) == []


def test_a_second_worker_finds_nothing_to_do(whole: Any) -> None:
    """And changes nothing."""
    settings, study = whole
    began = time.monotonic()
    heard: list[WorkerMessage] = []
    assert work(settings, heard=heard.append) == study
    assert not heard and time.monotonic() - began < 3


def test_a_journal_is_written_for_every_slot(whole: Any) -> None:
    """From `begin` to `end`, with what the page of plots is drawn from and the trained network."""
    settings, study = whole
    journal = Journal(settings.journal_dir, "tiny")
    assert journal.slots() == [
        "control-base-s0", "control-base-s1", "control-standard-s0", "control-standard-s1",
        "search-0000", "search-0001", "search-0002", "search-0003",
    ]  # fmt: skip
    for key in journal.slots():
        events = [event["event"] for _, event in journal.read(key)]
        assert events[0] == "begin" and events[-1] == "end" and events.count("artifact") == 2
        assert json.loads(journal.artifact_path(key, "plots.json").read_text())["title"].startswith("tiny: ")
        about = json.loads((journal.artifact_path(key, "network") / "description.json").read_text())
        trial = find_slot(study, key)
        assert trial.values is not None and about["val_error"] == trial.values["val_error"]
        assert (about["study"], about["slot"], about["state"]) == ("tiny", key, trial.result["state"])


# -- leaving and coming back ----------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 9, 14, 23])
def test_a_worker_that_is_asked_to_leave_gives_its_slot_back_and_nothing_is_lost(
    tmp_path: Path, whole: Any, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many steps, in the middle of an epoch too: the study ends as if nobody had left."""
    steps = 0
    original = Member.advance

    def advance(self: TrialNetworks, index: int) -> None:
        nonlocal steps
        steps += 1
        original(self, index)

    monkeypatch.setattr(Member, "advance", advance)
    settings = create(tmp_path)
    study = work(settings, leaving=lambda: steps >= after)
    assert steps == after
    attempts = (*study.trials, *study.controls)
    assert not [t for t in attempts if t.outcome == "running"]
    assert sum(t.outcome == "interrupted" for t in attempts) <= 1
    final = work(settings)
    assert final.pending() == 0 and settled(final) == settled(whole[1])
    forget_beginnings(settings, final.digest)
    left = {path.stem for path in settings.states.rglob("*.state")}
    assert left == {
        t.result["state"] for t in (*final.complete(), *final.controls) if t.outcome == "complete"
    }


def test_a_worker_whose_slot_was_given_to_another_leaves_quietly(tmp_path: Path) -> None:
    """It was asleep, was declared dead, and comes back: of that attempt nothing is written, the slot ends once."""
    settings = create(tmp_path, slots=1, controls=(), space=CRITERIA)
    search = search_of(settings)
    taken_away = []

    def heard(what: WorkerMessage) -> None:
        if what.kind == "progress" and not taken_away:
            taken_away.append(search.release_worker(worker_name(0)))

    study = work(settings, heard=heard)
    assert taken_away == [1]
    assert [(t.slot, t.outcome) for t in study.trials] == [(0, "lost"), (0, "complete")]
    lost = study.trials[0]
    assert lost.result == {} and lost.history is None and lost.params == study.trials[1].params


def test_the_heartbeat_notices_a_lost_lease_and_beats_for_the_others(tmp_path: Path) -> None:
    """It runs beside the training, every second here."""
    import sqlalchemy

    settings = create(tmp_path, slots=2, controls=(), space=CRITERIA)
    search = search_of(settings)
    seen: list[bool] = []

    def beats() -> list[Any]:
        with search.storage.engine.connect() as connection:
            return list(
                connection.execute(sqlalchemy.text("SELECT heartbeat FROM trial_heartbeats")).scalars()
            )

    def heard(what: WorkerMessage) -> None:
        if what.kind == "progress" and not seen:
            before = beats()
            time.sleep(2.2)
            seen.append(len(before) == 1 and beats() != before)
            search.release_worker(worker_name(0))
            time.sleep(1.2)
            seen.append(worker.held[0].lease.lost)

    worker = make_worker(settings, heard=heard)
    worker.run()
    assert seen == [True, True] and read(settings).pending() == 0


def test_a_slot_whose_worker_vanished_is_waited_for_and_taken_up(tmp_path: Path) -> None:
    """Taken by a worker that was killed: another one with nothing else to do stays until its lease is over."""
    settings = create(tmp_path, slots=1, controls=(), space=CRITERIA)
    search = search_of(settings)
    dead = search.take("elsewhere:1:0", {"host": "elsewhere", "device": "cpu"})
    assert dead is not None
    StateStore(settings.states, "elsewhere:1:0").claim("some-state")
    study = work(settings)
    assert study.counts() == {"complete": 1, "lost": 1} and study.trials[1].params == dead.params
    assert list((settings.states / "claims").iterdir()) == [], "and so are its claims"


def test_a_worker_takes_another_slot_while_one_is_blocked(tmp_path: Path) -> None:
    """Somebody else trains the first segment of seed 0: the seed-1 control goes on meanwhile."""
    settings = create(tmp_path, slots=1)
    spec = read(settings).spec
    first = Chain(spec.arm_cells()[0][2], LOADED_DATA).names[1]
    claim = StateStore(settings.states, "elsewhere:1:0").claim(first)
    assert claim is not None
    ended: list[str] = []

    def heard(what: WorkerMessage) -> None:
        if what.kind == "end":
            ended.append(what.title)
            claim.release()

    assert work(settings, heard=heard).pending() == 0
    assert ended[0] == "standard, seed 1"


# -- refusing -------------------------------------------------------------------------------------


def test_other_data_than_the_studys_are_refused(tmp_path: Path) -> None:
    """Both digests are named, and nothing is taken."""
    settings = create(tmp_path)
    study = read(settings)
    study.facts["data_digest"] = "0" * 64  # type: ignore[index]
    with pytest.raises(StudyError, match=r"not those the study 'tiny' was created with.*0{12}") as raised:
        check_data(study, LOADED_DATA)
    assert "--data-dir" in str(raised.value.hint)


def test_data_that_do_not_fit_the_memory_stop_the_worker_with_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a slot is taken: it is the machine's fault, and no trial's."""

    def load(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    study = read(create(tmp_path))
    monkeypatch.setattr("reprtune.training.chain.loaded_data.load_task", load)
    with pytest.raises(DataError, match="digits do not fit in the memory of cpu"):
        check_data(study, LoadedData(tmp_path, torch.device("cpu")))


def test_a_study_that_is_removed_while_it_runs_stops_the_worker_with_words(tmp_path: Path) -> None:
    """No traceback of the database."""
    from reprtune.record import storage as stored

    settings = create(tmp_path)
    queue: Queue = queues_of(settings)[0]

    def heard(what: WorkerMessage) -> None:
        if what.kind == "end":
            stored.delete(queue.storage, "tiny")

    with pytest.raises(StudyError, match="'tiny' has been removed"):
        work(settings, heard=heard)


def test_a_worker_gives_all_its_slots_back_where_the_study_was_damaged_meanwhile(tmp_path: Path) -> None:
    """It ends with the error, and nobody has to wait until its slots grow stale."""
    worker = make_worker(create(tmp_path))
    assert worker._take() and worker._take()
    held = [attempt.trial_id for attempt in worker.held]
    study_id = worker.storage.get_study_id_from_name("tiny")
    worker.storage.set_study_user_attr(study_id, ADDED, "no list")
    with pytest.raises(StudyError, match="is no list"):
        worker._give_back()
    assert [worker.storage.get_trial(one).state.name for one in held] == ["WAITING", "WAITING"]
    worker.storage.engine.dispose()


def test_a_database_that_is_away_for_a_moment_does_not_end_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it looks for sections that were added."""
    worker = make_worker(create(tmp_path))
    failures = [StorageAway("away")]

    header = worker.view.header

    def flaky() -> StudyRecord:
        if failures:
            raise failures.pop()
        return header()

    monkeypatch.setattr(worker.view, "header", flaky)
    worker._refill()
    assert not failures and [queue.section.name for queue in worker.queues] == ["controls", "search"]
    worker.storage.engine.dispose()


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_worker_waits_for_a_confirmation_that_others_hold_up(tmp_path: Path, is_declared: bool) -> None:
    """However long the last slot takes another worker; with nothing to come it leaves after the grace period, and
    with nobody at work it leaves too."""
    spec = with_fields(STUDY, controls=(), slots=1)
    if is_declared:
        spec = spec.with_section(Confirmation(top=1, seeds=(5,)))
    settings = create(tmp_path, spec=spec)
    worker = make_worker(settings)
    trial = search_of(settings).take("another", LEASE)
    assert trial is not None
    assert worker._worth_waiting(1.0)
    assert worker._worth_waiting(1e6) is is_declared
    worker.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    assert worker._worth_waiting(1.0) and not worker._worth_waiting(1e6)
    worker.storage.engine.dispose()


def test_a_trial_that_cannot_be_read_stops_nobody_who_trains_others(tmp_path: Path) -> None:
    """Its attribute was damaged meanwhile; the worker trains what waits, and the record says what is wrong."""
    settings = create(tmp_path, controls=())

    def damage(message: WorkerMessage) -> None:
        if message.kind == "begin" and message.title == "slot 1":
            first = search_of(settings).trials()[0]
            with worker.storage.engine.begin() as connection:
                text = "UPDATE trial_user_attributes SET value_json = '3' WHERE key = 'result' AND trial_id = :id"
                connection.execute(sqlalchemy.text(text), {"id": first._trial_id})

    worker = make_worker(settings, heard=damage)
    worker.run()
    done = [t.state.name for t in search_of(settings).trials() if t.state.is_finished()]
    assert len(done) >= 4
    with pytest.raises(StudyError, match="'result' is not of its form: 3"):
        read(settings)
