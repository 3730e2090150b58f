"""What sections have to do is asked again and again, by anybody, and queued once."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.record import storage as stored
from reprtune.record.database import experimental_allowed, open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.space import IntRange
from reprtune.spec.study import Arm, StudySpec
from reprtune.study.extend import extend_study
from reprtune.study.queueing import refill
from reprtune.study.repair import repair_study
from reprtune.study.sections.cell import Cell
from reprtune.study.sections.next_work import next_work
from reprtune.work.queue import queues
from tests.flat import with_fields
from tests.stored import new_study
from tests.study.two_databases import (
    KILLED,
    all_at_once,
    finish,
    in_child,
    kill_minus_9,
    queue_of,
    refill_once,
    url_of,
    where,
)
from tests.tiny_study import STUDY
from tests.work.queueing import fall_silent, outcomes, take
from tests.work.tiny_worker import create, make_worker, read, work

__all__ = ["where"]  # the fixture
FITTING = {**STUDY.space, "method.cycles": IntRange(low=1, high=1)}  # every draw fits
ONE_ARM = (Arm(name="base"),)


def declared(top: int = 2, seeds: tuple[int, ...] = (5, 6, 7, 8, 9), **changes: object) -> StudySpec:
    """The tiny study with two slots, one seed, and a confirmation that is declared from the beginning."""
    spec = with_fields(STUDY, **{"space": FITTING, "slots": 2, "control_seeds": (0,), **changes})
    return spec.with_section(Confirmation(top=top, seeds=seeds))


def all_but_confirmed(storage: RDBStorage) -> None:
    """The controls and the search end, as if they had been trained, and nobody has asked what follows."""
    finish(queue_of(storage, "controls"), 0.3, 0.3)
    finish(queue_of(storage, "search"), 0.2, 0.1)


def study_in(storage: RDBStorage) -> StudyRecord:
    return stored.read_study(storage, "tiny")


def queued(storage: RDBStorage) -> list[tuple[str | None, int]]:
    """(arm, seed) of every attempt of the confirmation."""
    return [(t.arm, t.seed) for t in study_in(storage).confirmation]


# -- what is asked -----------------------------------------------------------------------------------


def test_asking_changes_nothing_and_gives_the_same_answer(where: str | Path) -> None:
    """From an empty record to a finished one: every section answers twice alike, and nothing is written."""
    storage, _ = new_study(where, spec=declared())
    view = StudyView(storage, "tiny")
    answers = []
    for step in (lambda: None, lambda: all_but_confirmed(storage), lambda: refill(view)):
        step()
        before = study_in(storage)
        answers.append(next_work(before))
        assert next_work(view.record()) == next_work(before) == answers[-1]
        assert study_in(storage) == before
    first, finished, after = answers
    assert [(c.arm, c.seed) for c in first["controls"]] == [("standard", 0), ("base", 0)]
    assert first["search"] == [Cell(slot=0), Cell(slot=1)] and first["confirmation"] == []
    arms = ["standard", "base", "slot-1", "slot-0"]
    assert [(c.arm, c.seed) for c in finished["confirmation"]] == [(a, s) for s in range(5, 10) for a in arms]
    assert {c.key for c in after["confirmation"]} == {c.key for c in finished["confirmation"]}
    assert {name: after[name] for name in ("controls", "search")} == {
        name: first[name] for name in ("controls", "search")
    }
    storage.engine.dispose()


def test_what_is_queued_stays_when_another_becomes_the_leader(tmp_path: Path) -> None:
    """A repaired slot makes the confirmation wait; overtaking the leader, it comes beside it."""
    storage, _ = new_study(tmp_path / "x.db", spec=declared(top=1, seeds=(5, 6)))
    finish(queue_of(storage, "controls"), 0.3, 0.3)
    finish(queue_of(storage, "search"), "error", 0.2)
    assert refill_once(storage) == 6
    before = queued(storage)
    assert {arm for arm, _ in before} == {"standard", "base", "slot-1"}
    repair_study(storage, "tiny")
    assert next_work(study_in(storage))["confirmation"] == [] and refill_once(storage) == 0
    assert queued(storage) == before and study_in(storage).pending() == 7
    finish(queue_of(storage, "search"), 0.1)
    assert refill_once(storage) == 2 and refill_once(storage) == 0
    assert queued(storage) == [*before, ("slot-0", 5), ("slot-0", 6)]


def test_a_lost_run_waits_with_its_section_for_a_slot_that_is_repaired(tmp_path: Path) -> None:
    """What was queued may be taken meanwhile; what was lost is queued again once the section answers."""
    storage, _ = new_study(tmp_path / "x.db", spec=declared(top=1, seeds=(5,)))
    finish(queue_of(storage, "controls"), 0.3, 0.3)
    finish(queue_of(storage, "search"), "error", 0.2)
    refill_once(storage)
    take(queue_of(storage, "confirmation"), "dead")
    repair_study(storage, "tiny")
    queue_of(storage, "confirmation").release_worker("dead")
    assert refill_once(storage) == 0 and study_in(storage).unconfirmed() == 3
    finish(queue_of(storage, "search"), "error")
    assert refill_once(storage) == 1
    assert Counter(queued(storage)) == {("standard", 5): 2, ("base", 5): 1, ("slot-1", 5): 1}


@pytest.mark.parametrize(("top", "slots"), [(2, ()), (0, (0,))])
def test_a_confirmation_that_finds_nothing_is_finished(
    tmp_path: Path, top: int, slots: tuple[int, ...]
) -> None:
    """No arms, and no trial of the search that came to its end: nothing is left, and nobody waits for more."""
    spec = with_fields(STUDY, controls=(), slots=2).with_section(
        Confirmation(top=top, slots=slots, seeds=(5,))
    )
    storage, _ = new_study(tmp_path / "x.db", spec=spec)
    assert study_in(storage).pending() == (3 if top == 0 else 4)
    finish(queue_of(storage, "search"), "diverged", "diverged" if top else 0.2)
    assert refill_once(storage) == 0
    assert (study_in(storage).pending(), study_in(storage).unconfirmed()) == (0, 0)


# -- what is queued ----------------------------------------------------------------------------------


def test_eight_at_once_queue_every_cell_once(where: str | Path) -> None:
    """A confirmation of 20 cells becomes due, and all find it so at the same moment; later there is nothing."""
    storage, _ = new_study(where, spec=declared())
    all_but_confirmed(storage)
    assert sorted(all_at_once(url_of(storage), 8, refill_once)) == [*[0] * 7, 20]
    assert len(queued(storage)) == len(set(queued(storage))) == 20
    slots = [t.slot for t in study_in(storage).confirmation]
    assert slots == list(range(20)) and refill_once(storage) == 0
    storage.engine.dispose()


def test_a_process_that_is_killed_before_it_queues_leaves_that_to_the_next(
    where: str | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had asked, and holds the lock; the next one does not wait for it, and queues each cell once."""
    storage, _ = new_study(where, spec=declared())
    all_but_confirmed(storage)
    url = url_of(storage)
    storage.engine.dispose()

    def die() -> None:
        monkeypatch.setattr("reprtune.study.queueing.enqueue", kill_minus_9)
        refill_once(open_storage(url))

    assert in_child(die) == KILLED
    assert queued(storage) == []
    assert (refill_once(storage), refill_once(storage)) == (20, 0)
    assert len(set(queued(storage))) == len(queued(storage)) == 20
    storage.engine.dispose()


def test_a_declared_confirmation_is_trained_by_whoever_trained_the_search(tmp_path: Path) -> None:
    """Nobody asks for it: it begins when the last slot before it has ended, and the same worker trains all."""
    spec = declared(top=1, seeds=(5,), slots=1, controls=ONE_ARM)
    settings = create(tmp_path, spec=spec)
    assert (read(settings).pending(), read(settings).confirmation) == (4, ())
    study = work(settings)
    assert study.pending() == 0
    assert [(t.arm, t.seed, t.outcome) for t in study.confirmation] == [
        ("base", 5, "complete"),
        ("slot-0", 5, "complete"),
    ]
    assert all("test_error" in t.result for t in study.confirmation)
    last = max(t.ended or 0 for t in (*study.trials, *study.controls))
    assert min(t.started or 0 for t in study.confirmation) >= last


def test_a_worker_that_is_killed_between_its_outcome_and_queueing_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last slot's outcome is written, and what follows from it not asked for: the next worker does so."""
    spec = declared(top=1, seeds=(5,), slots=1, controls=ONE_ARM)
    settings = create(tmp_path, spec=spec)
    finish(queue_of(open_storage(settings.storage_url), "controls"), 0.3)

    def die() -> None:
        monkeypatch.setattr("reprtune.work.worker.Worker._ended", kill_minus_9)
        make_worker(settings).run()

    assert in_child(die) == KILLED
    study = read(settings)
    assert [t.outcome for t in study.trials] == ["complete"] and study.confirmation == ()
    study = work(settings)
    assert [(t.arm, t.outcome) for t in study.confirmation] == [("base", "complete"), ("slot-0", "complete")]
    assert len(study.trials) == 1 and study.pending() == 0


def test_a_trial_that_is_no_slot_of_a_section_is_not_counted(tmp_path: Path) -> None:
    """Somebody adds one to our study: the cells are queued all the same, under free slots."""
    storage, _ = new_study(tmp_path / "x.db", spec=declared())
    queue_of(storage, "confirmation").study().enqueue_trial({})
    all_but_confirmed(storage)
    assert refill_once(storage) == 20
    assert [t.slot for t in study_in(storage).confirmation] == list(range(20))


def test_a_study_of_ten_thousand_slots_is_made_and_looked_through_in_seconds(tmp_path: Path) -> None:
    """Seconds of this process, so that a busy machine is no defect; the second look reads only what is new."""
    began = time.process_time()
    storage, _ = new_study(tmp_path / "x.db", slots=10_000)
    created = time.process_time()
    view = StudyView(storage, "tiny")
    assert refill(view) == 0
    first = time.process_time()
    assert refill(view) == 0
    second = time.process_time()
    assert created - began < 10 and first - created < 10 and second - first < 2
    waiting = queue_of(storage, "search").trials()
    assert [t.user_attrs["slot"] for t in waiting] == list(range(10_000))
    assert {t.state for t in waiting} == {TrialState.WAITING}


def test_a_record_without_attempts_wants_all_of_its_design() -> None:
    """As at create, where nothing is stored yet: arm by arm, and every slot of the search."""
    spec = declared()
    new = StudyRecord(spec=spec, digest="d", facts={}, created=0.0, version="0")
    assert {name: len(cells) for name, cells in next_work(new).items()} == {
        "controls": 2,
        "search": 2,
        "confirmation": 0,
    }


def test_a_queue_keeps_what_it_has_noticed_while_its_section_stays_the_same(tmp_path: Path) -> None:
    """A trial without a beat grows stale although its worker asks for queues again and again; a section that was
    extended has a new queue."""
    storage, _ = new_study(tmp_path / "x.db")
    view = StudyView(storage, "tiny")
    before = queues(view)
    with experimental_allowed():
        orphan = before[1].study().ask()
    assert before[1].reap() == set()
    fall_silent(storage, orphan)
    extend_study(storage, "tiny", 1)
    after = queues(view, known=before)
    assert after[0] is not before[0] and after[1] is before[1]
    after[1].reap()
    assert outcomes(after[1])[0] == (0, "lost")
