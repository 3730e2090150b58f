"""The cache that workers read a study through shows what Optuna reads."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from reprtune.record.database import experimental_allowed
from reprtune.record.optuna_private.cached import TrialCache
from reprtune.record.optuna_private.queueing import Queued, enqueue
from reprtune.record.optuna_private.reading import read_whole
from tests.stored import empty_storage, new_study

FIELDS = ("number", "state", "values", "params", "distributions", "system_attrs", "intermediate_values",
          "datetime_start", "datetime_complete", "_trial_id")  # fmt: skip
STUDY_ID = 1


def without_histories(trial: FrozenTrial) -> dict[str, Any]:
    attrs = trial.user_attrs.items()
    return {k: {n: x for n, x in v.items() if n != "history"} if isinstance(v, dict) else v for k, v in attrs}


def check_same(cache: TrialCache, storage: RDBStorage) -> None:
    """All trials as the storage itself has them, but for histories."""
    found, expected = cache.get_all_trials(STUDY_ID), storage.get_all_trials(STUDY_ID)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name in FIELDS:
            assert repr(getattr(one, name)) == repr(getattr(other, name)), name  # NaN is not equal to itself
        assert one.user_attrs == without_histories(other)


def change(study: optuna.Study, storage: RDBStorage, rng: random.Random) -> None:
    """One thing that a worker, or somebody else, may do to a study."""
    trials = storage.get_all_trials(STUDY_ID)
    unfinished = [t for t in trials if not t.state.is_finished()]
    what = rng.choice(("queue", "add", "take", "give back", "draw", "attribute", "system", "report", "end"))
    trial = rng.choice(unfinished) if unfinished else None
    running = trial is not None and trial.state == TrialState.RUNNING
    if what == "queue" or trial is None:
        study.enqueue_trial({"x": 0.5}, user_attrs={"slot": rng.randrange(9)})
    elif what == "add":
        study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"slot": 1}))
    elif what == "take" and not running:
        storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    elif what == "give back" and running:
        storage.set_trial_user_attr(trial._trial_id, "attempt", rng.random())
        storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
    elif what == "draw" and running:
        optuna.Trial(study, trial._trial_id).suggest_float("x", 0, 1)
    elif what == "attribute" and running:
        result = {"history": "x" * 99, "outcome": rng.random()}
        storage.set_trial_user_attr(trial._trial_id, rng.choice(("result", "seed-0")), result)
    elif what == "system" and running:
        storage.set_trial_system_attr(trial._trial_id, "generation", rng.randrange(9))
    elif what == "report" and running:
        storage.set_trial_intermediate_value(
            trial._trial_id, rng.randrange(3), rng.choice((0.5, float("nan")))
        )
    elif what == "end":
        state = rng.choice((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
        values = [rng.random()] if state == TrialState.COMPLETE else None
        storage.set_trial_state_values(trial._trial_id, state, values)


@pytest.mark.parametrize("seed", range(4))
def test_the_cache_follows_whatever_is_done_to_a_study(tmp_path: Path, seed: int) -> None:
    """After any sequence of changes by others, looked at after each or after several of them."""
    storage, rng = empty_storage(tmp_path / "x.db"), random.Random(seed)
    study = optuna.create_study(study_name="s", storage=storage)
    cache = TrialCache(storage)
    for _ in range(25):
        for _ in range(rng.choice((1, 1, 4))):
            change(study, storage, rng)
        check_same(cache, storage)


def test_a_trial_that_waits_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one that has ended; one that runs is, each time; one taken and given back since is."""
    storage, _ = new_study(tmp_path / "x.db", slots=6, controls=())
    name_id = storage.get_study_id_from_name("tiny")
    cache = TrialCache(storage)
    ids = [t._trial_id for t in cache.get_all_trials(name_id)]
    read: list[list[int]] = []

    def watched(connection: Any, study_id: int, trial_ids: list[int]) -> list[FrozenTrial]:
        read.append(sorted(trial_ids))
        return read_whole(connection, study_id, trial_ids)

    monkeypatch.setattr("reprtune.record.optuna_private.cached.read_whole", watched)
    cache.get_all_trials(name_id)
    assert read == []
    storage.set_trial_state_values(ids[0], TrialState.RUNNING)
    storage.set_trial_state_values(ids[1], TrialState.RUNNING)
    storage.set_trial_state_values(ids[1], TrialState.WAITING)
    cache.get_all_trials(name_id)
    cache.get_all_trials(name_id)
    storage.set_trial_state_values(ids[0], TrialState.FAIL)
    storage.set_trial_state_values(ids[2], TrialState.FAIL)
    cache.get_all_trials(name_id)
    cache.get_all_trials(name_id)
    assert read == [[ids[0], ids[1]], [ids[0]], [ids[0], ids[2]]]


def test_the_cache_of_a_study_that_is_gone_says_so(tmp_path: Path) -> None:
    """As Optuna's own does, by a KeyError."""
    storage, _ = new_study(tmp_path / "x.db")
    cache, name_id = TrialCache(storage), storage.get_study_id_from_name("tiny")
    assert len(cache.get_all_trials(name_id)) == 4
    optuna.delete_study(study_name="tiny", storage=storage)
    with pytest.raises(KeyError):
        cache.get_all_trials(name_id)


def test_slots_queued_at_once_are_as_optuna_queues_them(tmp_path: Path) -> None:
    """In order and numbered after those that are there; a sampler fills them in as it does Optuna's own."""
    storage = empty_storage(tmp_path / "x.db")
    studies = [optuna.create_study(study_name=name, storage=storage) for name in ("one", "other")]
    slots = [
        Queued({"slot": 0, "arm": "é", "settings": {"a": [1, None]}}), Queued({}), Queued({"slot": 2}, {"x": 0.75})
    ]  # fmt: skip
    for study in studies:
        study.enqueue_trial({"x": 0.25}, user_attrs={"slot": 7})
    enqueue(storage, studies[0]._study_id, [])
    enqueue(storage, studies[0]._study_id, slots)
    for slot in slots:
        studies[1].enqueue_trial(dict(slot.params), user_attrs=dict(slot.attrs))
    for one, other in zip(*(study.trials for study in studies), strict=True):
        for name in (*FIELDS[:-1], "user_attrs"):
            assert getattr(one, name) == getattr(other, name), name
    with experimental_allowed():
        taken = [studies[0].ask({"x": optuna.distributions.FloatDistribution(0, 1)}) for _ in range(5)]
    assert [t.number for t in taken] == [0, 1, 2, 3, 4] and taken[0].params == {"x": 0.25}
    assert taken[3].params == {"x": 0.75}
