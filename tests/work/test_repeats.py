"""A setting that is drawn twice: a slot is not used up for the same result with the same seed."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_study
from reprtune.record.trials import FIRST_SEED, REPEATS, SETTING, outcome
from reprtune.settings import Settings
from reprtune.spec.sections.section import REPEATS_FROM
from reprtune.spec.space import Choice, IntRange
from reprtune.spec.stop_rules import Median
from reprtune.study.confirm import fresh_seeds, prepare_confirmation
from reprtune.study.queueing import refill
from reprtune.study.repair import repair_study
from reprtune.tracking.journal import Journal
from reprtune.work.queue import MAX_REDRAWS, Queue
from tests.stored import LEASE, new_study
from tests.study.two_databases import KILLED, all_at_once, in_child, kill_minus_9, queue_of, url_of, where
from tests.work.queueing import end, outcomes, take
from tests.work.tiny_worker import create, make_worker, read, work, work_together

__all__ = ["where"]  # the fixture
pytestmark = pytest.mark.usefixtures("short_lease")
TWO: dict[str, Any] = {
    "space": {"method.criterion": Choice(options=("l2", "random"))},
    "controls": (),
    "sampler": "random",
}
ONE: dict[str, Any] = {**TWO, "space": {"method.cycles": IntRange(low=1, high=1)}}


def draw(queue: Queue, worker: str = "w") -> optuna.Trial:
    """Take slots until what is drawn for one is admitted, as a worker does; others may take what is drawn anew."""
    for _ in range(10 * MAX_REDRAWS):
        trial = take(queue, worker)
        if queue.admits(trial):
            return trial
        end(queue, trial, "repeated")
        refill(queue.view)
    raise AssertionError("it is drawn again and again")


def first_seed(trial: optuna.Trial) -> int:
    return int(trial.user_attrs.get(FIRST_SEED, 0))


def trained(study: StudyRecord) -> list[tuple[Any, int]]:
    """(criterion, seed) of everything that was trained to its end."""
    return [(t.params["criterion"], run.seed) for t in study.complete() for run in t.runs]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, StudyRecord]:
    """Two settings, six slots, and a budget that is not used up, which counts what is spent."""
    settings = create(tmp_path_factory.mktemp("whole"), **TWO, slots=6, max_gflops=1e9)
    with pytest.MonkeyPatch.context() as patch:  # else nobody would draw where both are taken
        patch.setattr("reprtune.spec.draws.Draws.most_settings", math.inf)
        return settings, work(settings)


# -- six slots for two settings ----------------------------------------------------------------------


def test_every_slot_is_trained_with_a_seed_of_its_own(whole: tuple[Settings, StudyRecord]) -> None:
    """Two with the study's seed, the others with further ones, which say whose setting they repeat."""
    _, study = whole
    assert study.pending() == 0 and [t.slot for t in study.complete()] == list(range(6))
    assert len(set(trained(study))) == len(trained(study)) == 6
    by_setting = {
        criterion: sorted(seed for one, seed in trained(study) if one == criterion)
        for criterion in ("l2", "random")
    }
    assert all(
        seeds == [0, *range(REPEATS_FROM, REPEATS_FROM + len(seeds) - 1)] for seeds in by_setting.values()
    )
    first = {t.params["criterion"]: t.slot for t in study.complete() if t.repeats is None}
    repeats = [t for t in study.complete() if t.repeats is not None]
    assert len(first) == 2 and len(repeats) == 4
    assert all(t.repeats == first[t.params["criterion"]] and t.seed >= REPEATS_FROM for t in repeats)


def test_a_slot_is_drawn_anew_ten_times_where_there_may_be_another_setting(tmp_path: Path) -> None:
    """Then it is trained with further seeds; where every setting is known to be taken, at once."""
    queue = search_queue_of(tmp_path / "x.db", **ONE, slots=3)
    assert [first_seed(draw(queue)) for _ in range(2)] == [0, REPEATS_FROM]
    assert [t for t in queue.trials() if outcome(t) == "repeated"] == []
    queue.spec = replace(queue.spec)  # which nobody else has read
    vars(queue.spec.draws)["most_settings"] = math.inf
    assert first_seed(draw(queue)) == REPEATS_FROM + 1
    in_vain = [t.user_attrs["slot"] for t in queue.trials() if outcome(t) == "repeated"]
    assert in_vain == [2] * MAX_REDRAWS


def test_what_is_drawn_in_vain_costs_nothing(whole: tuple[Settings, StudyRecord]) -> None:
    """It has neither a run nor an account of its own."""
    settings, study = whole
    assert any(t.outcome == "repeated" for t in study.trials)
    for trial in study.trials:
        if trial.outcome == "repeated":
            assert trial.history is None and not trial.is_final and not trial.codes
            assert trial.result.get("steps_spent", 0) == trial.result.get("gflops_spent", 0) == 0
    spent = sum(t.result["gflops_spent"] for t in study.complete())
    assert study.spent[1] == pytest.approx(spent) and spent > 0
    journal = Journal(settings.journal_dir, "tiny")
    keys = [f"search-{slot:04d}" for slot in range(6)]
    assert sorted(set(journal.slots()) & {*keys}) == keys
    for key in keys:
        kinds = [event["event"] for _, event in journal.read(key)]
        assert kinds.count("begin") == kinds.count("end") == 1


def test_a_confirmation_has_none_of_their_seeds(whole: tuple[Settings, StudyRecord]) -> None:
    """Its fresh ones follow those of the study; a repeated setting is one leader, not several."""
    settings, study = whole
    assert fresh_seeds(study, 3) == (1, 2, 3)
    storage = open_storage(settings.storage_url)
    plan = prepare_confirmation(storage, "tiny", top=6, n_seeds=2)
    assert plan.seeds == (1, 2) and len(plan.arms) == 2
    storage.engine.dispose()


def test_two_workers_train_nothing_twice(tmp_path: Path) -> None:
    """Each draws without the other's results, and what is admitted is admitted under one lock."""
    study = work_together(create(tmp_path, **TWO, slots=6), 2)
    assert study.pending() == 0
    assert len(trained(study)) == len(set(trained(study))) == 6
    assert sum(seed >= REPEATS_FROM for _, seed in trained(study)) == 4


def test_several_seeds_of_repeats_do_not_overlap(tmp_path: Path) -> None:
    """One setting, three slots, two seeds each: six trainings with six seeds."""
    study = work(create(tmp_path, **ONE, slots=3, seeds=2))
    assert [[run.seed for run in t.runs] for t in sorted(study.complete(), key=lambda t: t.slot)] == [
        [0, 1],
        [REPEATS_FROM, REPEATS_FROM + 1],
        [REPEATS_FROM + 2, REPEATS_FROM + 3],
    ]


# -- several at once, and killed ---------------------------------------------------------------------


def test_eight_at_once_admit_no_setting_with_the_same_seed(where: str | Path) -> None:
    """Two settings, eight slots, in SQLite and in PostgreSQL."""
    queue = search_queue_of(where, slots=8)
    url = url_of(queue.storage)

    def one(storage: RDBStorage) -> tuple[str, int]:
        trial = draw(queue_of(storage, "search"))
        return str(trial.params["criterion"]), first_seed(trial)

    found = all_at_once(url, 8, one)
    assert len(set(found)) == 8
    assert sum(seed == 0 for _, seed in found) == 2
    queue.storage.engine.dispose()


def search_queue_of(where: str | Path, **changes: Any) -> Queue:
    """Of a study that has nothing but a search of two settings."""
    storage, _ = new_study(where, **{**TWO, **changes})
    return queue_of(storage, "search")


def test_a_slot_that_is_lost_before_it_is_admitted_is_admitted_later(tmp_path: Path) -> None:
    """It keeps what was drawn; who has admitted the same setting meanwhile has the study's seed."""
    queue = search_queue_of(tmp_path / "x.db", **ONE, slots=2)
    take(queue, "dead")
    other = draw(queue)
    assert first_seed(other) == 0 and other.user_attrs["slot"] == 1
    queue.release_worker("dead")
    refill(queue.view)
    late = draw(queue)
    assert (late.user_attrs["slot"], first_seed(late), late.user_attrs[REPEATS]) == (0, REPEATS_FROM, 1)


@pytest.mark.parametrize("is_queued", [True, False])
def test_a_slot_that_is_lost_after_it_was_admitted_keeps_its_seed(tmp_path: Path, is_queued: bool) -> None:
    """And its setting, also while nobody has queued it again: it goes on with it."""
    queue = search_queue_of(tmp_path / "x.db", **ONE, slots=3)
    draws = [draw(queue, "dead"), draw(queue, "dead too")]
    assert [first_seed(trial) for trial in draws] == [0, REPEATS_FROM]
    queue.release_worker("dead")
    queue.release_worker("dead too")
    if is_queued:
        refill(queue.view)
        assert [first_seed(draw(queue)) for _ in range(2)] == [0, REPEATS_FROM]
    third = take(queue)
    assert third.user_attrs["slot"] == 2 and queue.admits(third) and first_seed(third) == REPEATS_FROM + 1
    refill(queue.view)
    if not is_queued:
        assert [first_seed(draw(queue)) for _ in range(2)] == [0, REPEATS_FROM]
    assert queue.take("w", LEASE) is None


@pytest.mark.parametrize("attribute", [REPEATS, FIRST_SEED, SETTING])
def test_a_worker_that_is_killed_while_it_admits_trains_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attribute: str
) -> None:
    """Before each thing it writes down of a repeat; the next worker finishes the study all the same."""
    settings = create(tmp_path, **TWO, slots=3)

    def die() -> None:
        real = optuna.Trial.set_user_attr

        def write(self: optuna.Trial, key: str, value: Any) -> None:
            if key == attribute and REPEATS in {key, *self.user_attrs}:
                kill_minus_9()
            real(self, key, value)

        monkeypatch.setattr(optuna.Trial, "set_user_attr", write)
        make_worker(settings).run()

    assert in_child(die) == KILLED
    storage = open_storage(settings.storage_url)
    queue = queue_of(storage, "search")
    held = [t for t in queue.trials() if t.state == TrialState.RUNNING]
    assert held
    queue.release_worker(held[0].user_attrs["lease"]["worker"])
    study = work(settings)
    assert study.pending() == 0 and len(trained(study)) == len(set(trained(study))) == 3
    assert sorted(seed for _, seed in trained(study)) == [0, 0, REPEATS_FROM]
    storage.engine.dispose()


# -- what a repeat is to others ----------------------------------------------------------------------


def test_a_repeat_is_never_stopped_early_and_nobodys_rival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that stops whatever it may stop, stops only what has the study's seed."""
    monkeypatch.setattr("reprtune.work.early_stop.should_stop", lambda *_, **__: True)
    settings = create(tmp_path, **ONE, slots=3, stop=Median())
    study = work(settings)
    assert [(t.outcome, t.seed) for t in sorted(study.final(), key=lambda t: t.slot)] == [
        ("stopped", 0),
        ("complete", REPEATS_FROM),
        ("complete", REPEATS_FROM + 1),
    ]
    storage = open_storage(settings.storage_url)
    assert len(queue_of(storage, "search").rivals(99, 0, False)) == 1, "the one with the study's seed"
    storage.engine.dispose()


def test_a_repaired_repeat_keeps_its_seed(tmp_path: Path) -> None:
    """And the slot that draws its setting next has another."""
    queue = search_queue_of(tmp_path / "x.db", **ONE, slots=3)
    end(queue, draw(queue))
    end(queue, draw(queue), "error")
    repair_study(queue.storage, "tiny")
    assert [first_seed(draw(queue)) for _ in range(2)] == [REPEATS_FROM, REPEATS_FROM + 1]


# -- what is the same, and older studies -------------------------------------------------------------

METHODS: dict[str, Any] = {
    **TWO,
    "space": {
        "method": Choice(options=("standard", "repr")),
        "method.cycles": IntRange(low=1, high=2),
    },
    "slots": 2,
}


def store_older(queue: Queue, slot: int, method: str, cycles: int, outcome: str = "complete") -> None:
    """A trial of an older version in the place of the one that waits: it drew every parameter, and had no attribute
    that says what it was trained with."""
    waiting = next(t for t in queue.trials() if t.user_attrs["slot"] == slot)
    queue.storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING)
    kinds = {"method": CategoricalDistribution(("standard", "repr")), "cycles": IntDistribution(1, 2)}
    for name, value in {"method": method, "cycles": cycles}.items():
        inner = kinds[name].to_internal_repr(value)
        queue.storage.set_trial_param(waiting._trial_id, name, inner, kinds[name])
    trial = optuna.Trial(queue.study(), waiting._trial_id)
    end(queue, trial, outcome)


def test_parameters_that_do_nothing_make_no_other_setting(tmp_path: Path) -> None:
    """Standard training has no cycles: whatever an older version drew for them is the same setting, and the other
    method is none."""
    queue = search_queue_of(tmp_path / "x.db", **METHODS)
    store_older(queue, 0, "standard", 2)
    for fixed, is_new in (({"method": "standard"}, False), ({"method": "repr", "cycles": 2}, True)):
        (waiting,) = [t for t in queue.trials() if t.state == TrialState.WAITING]
        queue.storage.set_trial_system_attr(waiting._trial_id, "fixed_params", fixed)
        trial = take(queue)
        assert trial.params == fixed and queue.admits(trial) == is_new
        if not is_new:
            end(queue, trial, "repeated")
            refill(queue.view)
    assert SETTING in trial.user_attrs and first_seed(trial) == 0


def test_an_older_study_goes_on(tmp_path: Path) -> None:
    """What it trained twice stays as it was; its trials are known by what they drew, those without a result too,
    but not one that drew what does not fit."""
    queue = search_queue_of(tmp_path / "x.db", **{**METHODS, "slots": 5})
    for slot, (cycles, how) in enumerate([(1, "complete"), (2, "diverged"), (1, "infeasible")]):
        store_older(queue, slot, "standard", cycles, how)
    study = read_study(queue.storage, "tiny")
    assert [t.repeats for t in study.trials] == [None] * 5 and study.pending() == 3
    assert refill(queue.view) == 1
    seeds = {}
    for _ in range(3):
        trial = draw(queue)
        key = (trial.params["method"], trial.params.get("cycles"))
        assert (key, first_seed(trial)) not in seeds.items()
        if key[0] == "standard":
            assert first_seed(trial) >= REPEATS_FROM + 1, "two have it already"
        seeds[key] = first_seed(trial)
    assert Counter(o for _, o in outcomes(queue))["infeasible"] == 1


def test_a_slot_of_an_older_version_that_had_begun_goes_on_with_what_it_drew(tmp_path: Path) -> None:
    """Its setting is its own; nothing is drawn anew."""
    queue = search_queue_of(tmp_path / "x.db", slots=2)
    trial = take(queue)
    params = dict(trial.params)
    queue.give_back(trial, {"outcome": "interrupted"})
    again = take(queue)
    assert again.params == params and queue.admits(again) and first_seed(again) == 0


def test_a_search_of_many_settings_repeats_none(queue: Queue) -> None:
    """Nothing is said of repeats where nothing is repeated."""
    for _ in range(4):
        trial = draw(queue)
        assert {REPEATS, FIRST_SEED} & {*trial.user_attrs} == set()
        assert queue.trial_spec(trial).seed == 0
    assert len({t.user_attrs[SETTING] for t in queue.trials()}) == 4


def test_a_repeat_is_read_as_it_was_trained(whole: tuple[Settings, StudyRecord]) -> None:
    """Its trial is that of its setting with its seed, in the queue as in the record."""
    settings, study = whole
    storage = open_storage(settings.storage_url)
    queue = queue_of(storage, "search")
    frozen = {t.number: t for t in queue.trials()}
    for trial in study.complete():
        spec = queue.trial_spec(frozen[trial.number])
        assert spec.seed == trial.seed == trial.runs[0].seed
    assert read(settings).complete() == study.complete()
    storage.engine.dispose()
