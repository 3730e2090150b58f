"""What a confirmation queues, and that its runs are trained, tested and found again like all others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage

from reprtune.errors import SpecError, StudyError
from reprtune.history import History, Point
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.pack import pack
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import find_slot, slot_key, trial_spec
from reprtune.record.view import StudyView
from reprtune.settings import Settings
from reprtune.spec.edit import changed
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.space import IntRange
from reprtune.spec.study import Arm
from reprtune.states.store import StateStore
from reprtune.study.confirm import fresh_seeds, plan_confirmation, prepare_confirmation
from reprtune.study.export import slot_network
from reprtune.study.queueing import refill
from reprtune.study.sections.confirmation import next_work
from reprtune.tracking.journal import Journal
from reprtune.tracking.shipper import ShipResult
from reprtune.training.chain.chain import Chain
from reprtune.work.launch import Launcher
from reprtune.work.queue import queues
from reprtune.work.worker import Worker
from tests.confirmed import confirmed, searched
from tests.flat import with_attempts, with_fields
from tests.stored import new_study, record
from tests.study.two_databases import queue_of
from tests.tiny_study import STUDY
from tests.work.queueing import pending, take
from tests.work.tiny_worker import LOADED_DATA, Counted, Unlimited, create, read, work

FITTING = {**STUDY.space, "method.cycles": IntRange(low=1, high=1)}  # every draw fits


def confirm(settings: Settings, *, tickets: Any = None, **options: Any) -> StudyRecord:
    """Queue and run a confirmation in this process."""
    storage = open_storage(settings.storage_url)
    prepare_confirmation(storage, STUDY.name, **options)
    storage.engine.dispose()
    return confirm_on(settings, tickets=tickets)


def confirm_on(settings: Settings, *, tickets: Any = None, leaving: Any = lambda: False) -> StudyRecord:
    """A worker on what is queued."""
    worker = Worker(settings, STUDY.name, 0, tickets or Unlimited(), lambda _: None, leaving)
    worker.run()
    worker.storage.engine.dispose()
    return read(settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The tiny study, finished and confirmed: two leaders, two controls, two seeds."""
    settings = create(tmp_path_factory.mktemp("confirmed"), space=FITTING)
    work(settings)
    confirm(settings, top=2, n_seeds=2)
    return settings


# -- the plan ----------------------------------------------------------------------------------------


def test_fresh_seeds_follow_the_largest_one_used() -> None:
    """Of the search's own and the controls'; more of them begin with the same."""
    assert fresh_seeds(record(STUDY), 3) == (2, 3, 4)
    assert fresh_seeds(record(STUDY), 5)[:3] == (2, 3, 4)
    assert fresh_seeds(record(with_fields(STUDY, control_seeds=(9, 1))), 2) == (10, 11)
    assert fresh_seeds(record(with_fields(STUDY, seeds=6)), 2) == (6, 7)
    assert fresh_seeds(record(with_fields(STUDY, controls=())), 1) == (1,)
    confirmed = STUDY.with_section(Confirmation(seeds=(2, 8)))
    assert fresh_seeds(record(confirmed), 2) == (9, 10)


def test_all_controls_and_the_leaders_get_every_seed() -> None:
    """Three leaders and five seeds unless it is said otherwise, seed by seed."""
    record = searched(0.4, 0.1, 0.3, 0.2)
    plan = plan_confirmation(record)
    assert list(plan.arms) == ["standard", "paper", "random-drop", "slot-1", "slot-3", "slot-2"]
    assert plan.seeds == (3, 4, 5, 6, 7)
    cells = list(next_work(plan.section, record))
    assert [(cell.arm, cell.seed) for cell in cells[:7]] == [
        *((arm, 3) for arm in plan.arms),
        ("standard", 4),
    ]


def test_settings_are_those_of_the_slot() -> None:
    """Whatever is trained with them is the trial of the search with another seed."""
    record = searched(0.1, 0.2)
    plan = plan_confirmation(record, top=1, n_seeds=1)
    spec = changed(record.spec.base, {**plan.arms["slot-0"], "seed": 3})
    assert spec == replace(record.spec.trial(record.trials[0].params), seed=3)
    assert plan.arms["paper"] == dict(record.spec.arms[1].changes)


def test_slots_can_be_named_beside_the_leaders() -> None:
    """Each once, also where it is a leader; 0 leaders are allowed."""
    record = searched(0.1, 0.2, 0.3)
    arms = plan_confirmation(record, top=1, slots=("2", "search-0000")).arms
    assert [arm for arm in arms if arm.startswith("slot")] == ["slot-0", "slot-2"]
    assert [a for a in plan_confirmation(record, top=0, slots=("1",)).arms if a.startswith("slot")] == [
        "slot-1"
    ]


def test_what_is_there_stays_and_is_extended() -> None:
    """Without options nothing is added; more seeds are given to all, further leaders get all seeds."""
    record = confirmed(
        searched(0.1, 0.2, 0.3), {arm: [0.1] * 2 for arm in ("standard", "paper", "random-drop", "slot-0")}
    )
    again = plan_confirmation(record)
    assert list(again.arms)[3:] == ["slot-0"] and again.seeds == (3, 4)
    assert plan_confirmation(record, n_seeds=1).seeds == (3, 4)
    assert plan_confirmation(record, n_seeds=4).seeds == (3, 4, 5, 6)
    more = plan_confirmation(record, top=2)
    assert list(more.arms)[3:] == ["slot-0", "slot-1"] and more.seeds == (3, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top": -1}, "top must be at least 0, but got -1"),
        ({"n_seeds": 0}, "seeds must be at least 1, but got 0"),
    ],
)
def test_numbers_are_checked(options: dict[str, int], said: str) -> None:
    """Before anything is queued."""
    with pytest.raises(SpecError, match=said):
        plan_confirmation(searched(0.1), **options)


@pytest.mark.parametrize(
    ("slot", "said"),
    [
        ("9", "has no slot '9' in its search"),
        ("x", "no slot 'x'"),
        ("standard-s0", "no slot"),
        ("1", "stopped"),
    ],
)
def test_slots_that_cannot_be_confirmed(slot: str, said: str) -> None:
    """Absent, no slot of the search, or without an end of its training."""
    record = searched(0.1, 0.2)
    trials = tuple(replace(t, outcome="stopped") if t.slot == 1 else t for t in record.trials)
    with pytest.raises(StudyError, match=said):
        plan_confirmation(with_attempts(record, trials=trials), slots=(slot,))


def test_an_unfinished_study_is_refused(tmp_path: Path) -> None:
    """With what is left and how to go on; nothing is queued."""
    record = searched(0.1, 0.2)
    trials = tuple(replace(t, outcome="running") if t.slot == 1 else t for t in record.trials)
    with pytest.raises(StudyError, match=r"unfinished: 1 of 2 slots of search are left") as error:
        plan_confirmation(with_attempts(record, trials=trials))
    assert "study resume synthetic" in str(error.value.hint)
    storage = open_storage(create(tmp_path).storage_url)
    with pytest.raises(StudyError, match="4 of 4 slots of controls and 4 of 4 slots of search are left"):
        prepare_confirmation(storage, STUDY.name)
    assert {s.study_name for s in storage.get_all_studies()} == {"tiny", "tiny.controls"}
    storage.engine.dispose()


def test_without_test_images_there_is_nothing_to_confirm_on() -> None:
    """The data are named."""
    record = searched(0.1)
    with pytest.raises(StudyError, match=r"digits .* have no test images"):
        plan_confirmation(replace(record, facts={**record.facts, "n_test": 0}))


def test_a_search_without_a_complete_trial() -> None:
    """Confirms its controls; without any there is nothing."""
    record = searched(0.1)
    record = with_attempts(record, trials=tuple(replace(t, outcome="diverged") for t in record.trials))
    assert list(plan_confirmation(record).arms) == ["standard", "paper", "random-drop"]
    without = replace(record, spec=with_fields(record.spec, controls=()))
    with pytest.raises(StudyError, match="nothing to confirm"):
        plan_confirmation(without)


def test_a_control_cannot_have_a_leaders_name() -> None:
    """It could not be told from one."""
    with pytest.raises(SpecError, match="cannot be named 'slot-3'"):
        with_fields(STUDY, controls=(Arm(name="slot-3"),))


# -- the queue ---------------------------------------------------------------------------------------


def attempts(settings: Settings) -> list[tuple[str, int, str]]:
    return sorted((str(t.arm), t.seed, t.outcome) for t in read(settings).confirmation)


def test_every_run_is_trained_once_and_tested(done: Settings) -> None:
    """With a test error that another run of the same trial has too, and a val_error as its value."""
    study = read(done)
    assert Counter(arm for arm, *_ in attempts(done)) == dict.fromkeys(
        ("standard", "base", *(f"slot-{t.slot}" for t in best_two(study))), 2
    )
    assert {(t.seed, t.outcome) for t in study.confirmation} == {(2, "complete"), (3, "complete")}
    for trial in study.confirmation:
        run = Chain(trial_spec(study, trial), LOADED_DATA)
        assert sum(1 for _ in run) > 0
        test = run.test()
        assert (trial.result["test_error"], trial.result["test_loss"]) == (test.error, test.loss)
        assert trial.history is not None and trial.history.drops == run.history.drops
        assert trial.values == {"val_error": run.history.points[-1].val_error}


def best_two(study: StudyRecord) -> list[Any]:
    order = sorted(
        study.trials, key=lambda t: (*[(t.values or {})[o] for o in study.spec.objectives], t.number)
    )
    return order[:2]


def test_the_search_has_no_test_errors(done: Settings) -> None:
    """It chooses; arms, which were declared before, are measured on the test part, every complete run once."""
    study = read(done)
    assert all("test_error" not in t.result for t in study.trials)
    assert (
        all(("test_error" in t.result) == (t.outcome == "complete") for t in study.controls)
        and study.controls
    )
    assert study.pending() == study.unconfirmed() == 0


def test_runs_are_found_by_their_names(done: Settings) -> None:
    """`slot-N-sSEED` and `ARM-sSEED`, in the journal as role confirmation; their networks can be exported."""
    study = read(done)
    arm = next(str(t.arm) for t in study.confirmation if str(t.arm).startswith("slot-"))
    for name in (f"{arm}-s3", "standard-s2"):
        trial = find_slot(study, name)
        assert slot_key(trial) == f"confirmation-{name}" and find_slot(study, slot_key(trial)) == trial
        begin = Journal(done.journal_dir, STUDY.name).read(slot_key(trial))[0][1]
        assert begin["tags"]["role"] == "confirmation"
        assert slot_network(done, study, name).spec == trial_spec(study, trial)


def test_queueing_again_changes_nothing_and_extends(tmp_path: Path) -> None:
    """The same numbers and runs; a third seed is one more run for each arm."""
    settings = create(tmp_path, space=FITTING, slots=2, control_seeds=(0,))
    work(settings)
    storage = open_storage(settings.storage_url)
    first = prepare_confirmation(storage, STUDY.name, top=1, n_seeds=1)
    assert (first.n_new, len(first.arms)) == (3, 3)
    assert [prepare_confirmation(storage, STUDY.name).n_new for _ in range(2)] == [0, 0]
    assert prepare_confirmation(storage, STUDY.name, n_seeds=2).n_new == 3
    assert prepare_confirmation(storage, STUDY.name, top=2).n_new == 2
    trials = stored.read_study(storage, STUDY.name).confirmation
    assert sorted(t.slot for t in trials) == list(range(8)) and {t.outcome for t in trials} == {"waiting"}
    storage.engine.dispose()


def test_a_queue_opened_before_it_was_extended_counts_the_new_runs_too(tmp_path: Path) -> None:
    """A worker elsewhere goes on while somebody asks for more seeds: nothing is finished too early."""
    settings = create(tmp_path, space=FITTING, slots=1, control_seeds=(0,))
    work(settings)
    storage = open_storage(settings.storage_url)
    prepare_confirmation(storage, STUDY.name, top=1, n_seeds=1)
    queue = queues(StudyView(storage, STUDY.name))[-1]
    prepare_confirmation(storage, STUDY.name, n_seeds=2)
    assert pending(queue) == 6
    late = queue.trials()[5]
    storage.set_trial_state_values(late._trial_id, state=optuna.trial.TrialState.FAIL)
    assert pending(queue) == 6 and refill(queue.view) == 1, "its worker vanished"
    storage.engine.dispose()


def test_a_study_run_again_leaves_its_confirmation_what_it_may_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works on it, and states of beginnings go when nothing of it is left, whoever asks."""
    monkeypatch.setattr("reprtune.work.launch.Shipper", lambda *_: NoShipper())
    settings = create(tmp_path, space=FITTING, slots=1, control_seeds=(0,))
    work(settings)
    storage = open_storage(settings.storage_url)
    prepare_confirmation(storage, STUDY.name, top=1, n_seeds=1)
    storage.engine.dispose()
    store, name = StateStore(settings.states), "ab" + "1" * 62
    store.put(name, b"x")
    store.note(read(settings).digest, "beginning", [name])

    def run(n_trials: int | None) -> int:
        rest = (lambda *_: "", lambda *_: None, lambda _: None)
        return Launcher(settings, STUDY.name, 1, n_trials, *rest).run().pending

    assert run(1) == 2 and store.has(name)
    assert run(None) == 0 and not store.has(name)


class NoShipper:
    def run_until(self, _: object) -> None:
        pass

    def sync(self, *_: object, **__: object) -> ShipResult:
        return ShipResult(sent=0, pending=0, error="nothing is sent")

    ship_once = sync


def test_an_interrupted_confirmation_goes_on(tmp_path: Path) -> None:
    """What is finished stays; the rest is trained by whoever comes next, once."""
    settings = create(tmp_path, space=FITTING, slots=1, control_seeds=(0,))
    work(settings)
    study = confirm(settings, top=1, n_seeds=2, tickets=Counted(2))
    assert (study.unconfirmed(), len(study.confirmation)) == (4, 6)
    before = {t.slot: t.ended for t in study.confirmation if t.outcome == "complete"}
    asked = iter([False] * 6)
    study = confirm_on(settings, leaving=lambda: next(asked, True))  # in the middle of a run
    assert "interrupted" in {t.outcome for t in study.confirmation} and study.unconfirmed() > 0
    study = confirm_on(settings)
    assert study.unconfirmed() == 0
    ended = [t for t in study.confirmation if t.outcome == "complete"]
    assert sorted(t.slot for t in ended) == list(range(6))
    assert {t.slot: t.ended for t in ended}.items() >= before.items()


def test_queueing_that_was_interrupted_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when the section was stored and nothing of it queued: whoever works on the study queues all of it."""
    settings = create(tmp_path, space=FITTING, slots=1, control_seeds=(0,))
    work(settings)
    storage = open_storage(settings.storage_url)

    def break_off(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr("reprtune.study.queueing.enqueue", break_off)
        prepare_confirmation(storage, STUDY.name, top=1, n_seeds=2)
    assert numbers(storage) == [] and refill(StudyView(storage, STUDY.name)) == 6
    assert prepare_confirmation(storage, STUDY.name, top=1, n_seeds=2).n_new == 0
    assert numbers(storage) == list(range(6))
    storage.engine.dispose()


def test_leaders_of_an_old_record_are_read_from_its_curves(tmp_path: Path) -> None:
    """Where the search minimises the cost alone, versions before stored no error beside the curve; all that is
    planned is queued, and stays."""
    storage, _ = new_study(tmp_path / "x.db", slots=2, controls=(), objectives=("train_gflops",), stop="none")
    queue = queue_of(storage, "search")
    for error in (0.3, 0.2):
        trial = take(queue)
        point = Point(
            step=8, phase="full", cycle=0, lr=0.1, train_loss=1.0, val_loss=1.0, val_error=error, gflops=2.0,
            seconds=1.0, time=0.0,
        )  # fmt: skip
        history = pack(History(total_steps=8, steps_per_epoch=2, points=(point,)))
        trial.set_user_attr("result", {"outcome": "complete", "history": history})
        queue.study().tell(trial, [2.0])
    attribute = stored.read_attribute(storage, "tiny")
    facts = {**attribute["facts"], "n_test": 9}
    study_id = storage.get_study_id_from_name("tiny")
    storage.set_study_user_attr(study_id, stored.ATTRIBUTE, {**attribute, "facts": facts})
    plan = prepare_confirmation(storage, "tiny", top=1, n_seeds=2, accept_code=True)
    assert list(plan.arms) == ["slot-1"] and plan.n_new == 2
    assert [(t.arm, t.seed) for t in stored.read_study(storage, "tiny").confirmation] == [
        ("slot-1", seed) for seed in plan.seeds
    ]
    assert refill(StudyView(storage, "tiny")) == 0
    storage.engine.dispose()


def numbers(storage: RDBStorage) -> list[int]:
    return sorted(t.slot for t in stored.read_study(storage, STUDY.name).confirmation)


def test_a_study_without_a_search_confirms_its_controls(tmp_path: Path) -> None:
    """On fresh seeds like any other."""
    settings = create(tmp_path, space={}, slots=0, control_seeds=(0,))
    work(settings)
    study = confirm(settings, n_seeds=1)
    assert [(t.arm, t.seed, t.outcome) for t in study.confirmation] == [
        ("standard", 1, "complete"),
        ("base", 1, "complete"),
    ]


def test_a_diverged_run_has_no_test_error(tmp_path: Path) -> None:
    """It is an outcome of its own, and no longer open."""
    wild = Arm(name="wild", changes={"method": "standard", "training.lr": 1e30})
    settings = create(tmp_path, space={}, slots=0, controls=(wild,), control_seeds=(0,))
    work(settings)
    (trial,) = confirm(settings, n_seeds=1).confirmation
    assert trial.outcome == "diverged" and "test_error" not in trial.result
    assert read(settings).unconfirmed() == 0
