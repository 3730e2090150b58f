"""Leases: whose seconds they are, and who notices that one has run out."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from reprtune.record import storage as stored
from reprtune.record.outcomes import Outcome
from reprtune.settings import Settings
from reprtune.spec.space import Choice
from reprtune.states.store import StateStore
from reprtune.study.create import create_study
from reprtune.study.queueing import refill
from reprtune.work import worker as module
from reprtune.work.process import WorkerMessage
from reprtune.work.queue import Queue
from reprtune.work.reaper import Reaper
from tests.stored import LEASE, empty_storage
from tests.tiny_study import STUDY
from tests.work.queueing import fall_silent, outcomes, take
from tests.work.tiny_worker import create, make_worker, read, search_of, work

CRITERIA = {"method.criterion": Choice(options=("l2", "random"))}  # every draw fits


def environment(monkeypatch: pytest.MonkeyPatch, beat: int, grace: int) -> None:
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", str(beat))
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", str(grace))


def search_with_lease(folder: Path, beat: int, grace: int) -> Queue:
    """Stored as `create` does."""
    settings = create(folder)
    storage = search_of(settings).storage
    attribute = stored.read_attribute(storage, STUDY.name)
    attribute["facts"]["lease"] = {"beat_seconds": beat, "grace_seconds": grace}
    storage.set_study_user_attr(storage.get_study_id_from_name(STUDY.name), stored.ATTRIBUTE, attribute)
    return search_of(settings)


@pytest.mark.parametrize(("of_the_study", "of_this_machine"), [((5, 30), (1, 3)), ((1, 3), (5, 30))])
def test_the_seconds_of_a_lease_are_the_studys(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of_the_study: tuple[int, int],
    of_this_machine: tuple[int, int],
) -> None:
    """A machine that is set to others beats as often, and takes nothing from a worker that keeps to those of the
    study."""
    queue = search_with_lease(tmp_path, *of_the_study)
    environment(monkeypatch, *of_this_machine)
    queue = search_of(Settings(runs_dir=tmp_path, device="cpu"))
    fall_silent(queue.storage, take(queue), seconds=10)
    assert queue.reap() == ({"w"} if of_the_study[1] < 10 else set())
    worker = make_worker(Settings(runs_dir=tmp_path, device="cpu"))
    assert (worker.beat_seconds, worker.grace_seconds) == of_the_study


def test_create_stores_the_seconds_of_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no others are stored, as in older studies, they are those of whoever asks."""
    environment(monkeypatch, 2, 9)
    settings = Settings(runs_dir=tmp_path, device="cpu", tracking_uri="none")
    empty_storage(tmp_path / "reprtune.db").engine.dispose()
    _, facts = create_study(STUDY, settings)
    assert facts["lease"] == {"beat_seconds": 2, "grace_seconds": 9}
    environment(monkeypatch, 1, 3)
    assert read(settings).lease == (2, 9)
    assert read(create(tmp_path / "older")).lease == (1, 3)


@pytest.mark.usefixtures("short_lease")
def test_a_slot_is_queued_again_while_all_others_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock, not only when somebody takes a next slot; what was claimed for it is free."""
    monkeypatch.setattr(module, "REAP_BEATS", 1)
    settings = create(tmp_path, slots=2, controls=(), space=CRITERIA)
    search, again = search_of(settings), list[tuple[int, str]]()

    def train_for_long(what: WorkerMessage) -> None:
        if what.kind == "begin" and not again:
            fall_silent(search.storage, take(search, "dead:1:0"))
            StateStore(settings.states, "dead:1:0").claim("some-state")
            end = time.monotonic() + 30
            while (1, "waiting") not in outcomes(search) and time.monotonic() < end:
                time.sleep(0.1)
            again.extend(outcomes(search))

    study = work(settings, heard=train_for_long)
    assert again == [(0, "running"), (1, "lost"), (1, "waiting")]
    assert study.counts() == {Outcome.COMPLETE: 2, Outcome.LOST: 1}
    assert list((settings.states / "claims").iterdir()) == []


def test_many_reapers_queue_a_slot_once(queue: Queue, tmp_path: Path) -> None:
    """All at once, each with a view of its own; a worker that lives loses nothing."""
    for worker in ("dead", "alive", "dead"):
        trial = queue.take(worker, LEASE)
        assert trial is not None
        if worker == "dead":
            fall_silent(queue.storage, trial)
    reapers = [Reaper(queue.storage, "tiny", StateStore(tmp_path / "states")) for _ in range(6)]
    threads = [threading.Thread(target=reaper.look) for reaper in reapers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes(queue)) == sorted(
        [(0, "lost"), (1, "running"), (2, "lost"), (3, "waiting"), (0, "waiting"), (2, "waiting")]
    )


def test_a_reaper_mends_what_another_left_half_done(queue: Queue, tmp_path: Path) -> None:
    """That died between noticing a vanished worker and queueing its slot."""
    fall_silent(queue.storage, take(queue))
    assert queue.reap() == {"w"}
    reaper = Reaper(queue.storage, "tiny", StateStore(tmp_path / "states"), seconds=0.05)
    reaper.start()
    end = time.monotonic() + 20
    while (0, "waiting") not in outcomes(queue) and time.monotonic() < end:
        time.sleep(0.05)
    reaper.close()
    assert outcomes(queue)[-1] == (0, "waiting") and refill(queue.view) == 0
