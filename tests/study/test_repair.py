"""Slots that failed, queued again: what they had stays, the failed attempt stays too, and counts no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.analysis.attempts import deciding
from reprtune.analysis.controls import arm_summaries
from reprtune.errors import StudyError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.trials import outcome
from reprtune.record.view import StudyView
from reprtune.settings import Settings
from reprtune.spec.space import FloatRange
from reprtune.study.queueing import MAX_LOST, refill
from reprtune.study.repair import Repaired, failed, repair_study
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.work.queue import Queue, queues
from tests.command import Command
from tests.stored import LEASE, new_study
from tests.study.two_databases import all_at_once, finish, queue_of, refill_once, url_of, where
from tests.work.queueing import end, outcomes, pending, search_queue, take
from tests.work.tiny_worker import create, read, work

__all__ = ["where"]  # the fixture


def study_in(storage: RDBStorage) -> StudyRecord:
    return stored.read_study(storage, "tiny")


def attempts(study: StudyRecord, slot: int) -> list[TrialRecord]:
    return [trial for trial in study.trials if trial.slot == slot]


# -- what is queued again ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["error", "out-of-memory"])
def test_a_failed_slot_is_queued_with_its_parameters(where: str | Path, how: str) -> None:
    """As a further attempt, before slots that were never begun; the failed one is in the record, and uses its
    slot up no more."""
    storage, _ = new_study(where)
    queue = queue_of(storage, "search")
    first = take(queue)
    end(queue, first, how)
    finish(queue, 0.2)
    assert study_in(storage).pending("search") == pending(queue) == 2
    assert repair_study(storage, "tiny") == Repaired(("0",))
    study = study_in(storage)
    old, new = attempts(study, 0)
    assert (old.outcome, old.repaired, old.is_final) == (how, True, False)
    assert (new.outcome, new.repaired) == ("waiting", False) and failed(study) == []
    assert study.pending("search") == pending(queue) == 3 and [t.slot for t in study.final()] == [1]
    assert deciding(study.trials)[0] == new
    again = take(queue)
    assert again.number == new.number and again.params == first.params
    assert (again.user_attrs["slot"], again.user_attrs["attempt"]) == (0, 1)
    end(queue, again)
    assert study_in(storage).pending("search") == pending(queue) == 2 and refill(queue.view) == 0
    storage.engine.dispose()


def test_an_arm_that_failed_is_counted_by_its_last_attempt(tmp_path: Path) -> None:
    """In the report's table of arms: failed, then open, then complete; once each time."""
    storage, _ = new_study(tmp_path / "x.db")
    controls = queue_of(storage, "controls")
    finish(controls, "error", 0.3, 0.2, 0.2)

    def counted() -> tuple[int, int, int]:
        standard = arm_summaries(study_in(storage))[0]
        return standard.n, standard.n_failed, standard.n_open

    assert counted() == (1, 1, 0)
    assert repair_study(storage, "tiny").slots == ("standard-s0",)
    assert counted() == (1, 0, 1)
    finish(controls, 0.25)
    assert counted() == (2, 0, 0) and study_in(storage).pending("controls") == 0


def test_a_slot_that_fails_again_is_repaired_again(queue: Queue) -> None:
    """Each failure is mended by itself; between them nothing is queued."""
    for n in range(1, 4):
        params = dict(take(queue).params)
        end(queue, _running(queue), "error")
        assert refill(queue.view) == 0
        assert repair_study(queue.storage, "tiny").slots == ("0",)
        assert len(attempts(study_in(queue.storage), 0)) == n + 1
        assert queue.trials()[-1].system_attrs["fixed_params"] == params
    assert repair_study(queue.storage, "tiny") == Repaired(())


def _running(queue: Queue) -> optuna.Trial:
    trial = next(t for t in queue.trials() if t.state == TrialState.RUNNING)
    return optuna.Trial(queue.study(), trial._trial_id)


def test_a_slot_that_was_given_up_gets_a_fresh_count(queue: Queue) -> None:
    """Its worker may vanish MAX_LOST times again before it is given up for the second time."""

    def lose(times: int) -> None:
        for _ in range(times):
            take(queue)
            queue.release_worker("w")
            refill(queue.view)

    lose(MAX_LOST)
    assert outcomes(queue)[-1] == (0, "error")
    repair_study(queue.storage, "tiny")
    lose(MAX_LOST - 1)
    assert outcomes(queue)[-1] == (0, "waiting")
    lose(1)
    assert outcomes(queue)[-1] == (0, "error")
    assert [o for _, o in outcomes(queue)].count("error") == 2
    assert repair_study(queue.storage, "tiny").slots == ("0",)


def test_a_worker_that_dies_while_it_takes_a_repaired_slot_loses_no_parameter(queue: Queue) -> None:
    """They came with the attempt, which had not taken them up yet; also where it is given up by that."""
    first = take(queue)
    end(queue, first, "error")
    for n in range(2 * MAX_LOST):
        repair_study(queue.storage, "tiny")
        waiting = next(t for t in queue.trials() if t.state == TrialState.WAITING and _slot(t) == 0)
        assert waiting.params == {} and waiting.system_attrs["fixed_params"] == first.params, n
        trial_id = waiting._trial_id
        queue.storage.record_heartbeat(trial_id)
        queue.storage.set_trial_user_attr(trial_id, "lease", {**LEASE, "worker": "dead"})
        queue.storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        queue.release_worker("dead")
        refill(queue.view)
    assert [o for _, o in outcomes(queue)].count("error") == 3, "it failed, and was given up twice"
    repair_study(queue.storage, "tiny")
    assert take(queue).params == first.params


def _slot(trial: optuna.trial.FrozenTrial) -> int:
    return int(trial.user_attrs["slot"])


def test_a_second_attempt_that_was_never_trained_is_not_gone_on_from(queue: Queue) -> None:
    """A duplicate ended last, and has neither parameters nor seeds."""
    queue.study().enqueue_trial({}, user_attrs={"slot": 0})
    first = take(queue)
    end(queue, first, "error")
    assert queue.take("w", LEASE) is None and outcomes(queue)[-1] == (0, "duplicate")
    repair_study(queue.storage, "tiny")
    waiting = queue.trials()[-1]
    assert _slot(waiting) == 0 and waiting.system_attrs["fixed_params"] == first.params


def test_two_repairs_at_once_queue_each_slot_once(where: str | Path) -> None:
    """One of them finds nothing failed."""
    storage, _ = new_study(where)
    finish(queue_of(storage, "search"), "error", "out-of-memory", 0.2, 0.1)
    found = all_at_once(url_of(storage), 2, lambda own: repair_study(own, "tiny").slots)
    assert sorted(found) == [(), ("0", "1")]
    study = study_in(storage)
    assert [t.slot for t in study.trials if t.outcome == "waiting"] == [0, 1]
    assert refill_once(storage) == 0
    storage.engine.dispose()


def test_a_repair_that_was_interrupted_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when the attempt was marked and nothing queued: whoever works on the study queues the slot."""
    queue = search_queue(tmp_path / "x.db")
    end(queue, take(queue), "error")

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reprtune.study.queueing.enqueue", break_off)
        with pytest.raises(KeyboardInterrupt):
            repair_study(queue.storage, "tiny")
    assert [o for _, o in outcomes(queue)].count("waiting") == 3 and pending(queue) == 4
    assert refill(queue.view) == 1 and refill(queue.view) == 0
    assert take(queue).user_attrs["slot"] == 0


# -- what is refused ---------------------------------------------------------------------------------


def test_only_slots_that_failed_are_repaired(queue: Queue) -> None:
    """Those that have are named; a slot that was repaired has not failed any more. Nothing is queued."""
    for how in ("error", "complete", "diverged"):
        end(queue, take(queue), how)
    for slot, was in (("1", "complete"), ("2", "diverged"), ("3", "waiting"), ("standard-s0", "waiting")):
        with pytest.raises(StudyError, match=f"Slot {slot} of 'tiny' has not failed: it is {was}") as error:
            repair_study(queue.storage, "tiny", ["0", slot])
        assert error.value.hint == "Failed have: 0."
    with pytest.raises(StudyError, match="has no slot '9'"):
        repair_study(queue.storage, "tiny", ["9"])
    assert len(queue.trials()) == 4
    assert repair_study(queue.storage, "tiny", ["search-0000", "0"]).slots == ("0",), "once"
    assert len(queue.trials()) == 5
    with pytest.raises(StudyError, match="Slot 0 of 'tiny' has not failed: it is waiting") as error:
        repair_study(queue.storage, "tiny", ["0"])
    assert error.value.hint == "None of its slots has failed."


def test_a_search_that_is_over_budget_is_not_repaired(tmp_path: Path) -> None:
    """Its slot would be ended without training; what failed of the arms is named, and repaired by its name."""
    storage, spec = new_study(tmp_path / "x.db", max_seconds=10.0)
    finish(queue_of(storage, "controls"), "error")
    finish(queue_of(storage, "search"), "error")
    stored.write_spent(storage, spec.name, "w", (10.0, 0.0))
    before = study_in(storage)
    for slots in ((), ("0",)):
        with pytest.raises(
            StudyError, match="has used up its seconds or GFLOPs, so that 0 would not"
        ) as error:
            repair_study(storage, "tiny", slots)
        assert error.value.hint == "Name with --slot those of arms that failed: standard-s0."
    assert study_in(storage) == before
    assert repair_study(storage, "tiny", ["standard-s0"]).slots == ("standard-s0",)


def test_where_nothing_failed_nothing_is_done(queue: Queue) -> None:
    """What diverged, or was interrupted, has not."""
    end(queue, take(queue), "diverged")
    queue.give_back(take(queue), {"outcome": "interrupted"})
    before = study_in(queue.storage)
    assert repair_study(queue.storage, "tiny") == Repaired(())
    assert study_in(queue.storage) == before


# -- with training -----------------------------------------------------------------------------------

LATE = 4  # steps after which training fails
TWO_SEEDS: dict[str, Any] = {
    "slots": 2,
    "seeds": 2,
    "controls": (),
    "space": {"training.lr": FloatRange(low=0.001, high=0.1, log=True)},
}


def fail_late(patch: pytest.MonkeyPatch, trained: list[tuple[int, int]]) -> None:
    """Trials fail in their second seed, after some steps; `trained` gets (seed, first step) of each segment."""
    real = TrialNetworks.train

    def train(self: TrialNetworks, segment: Any, *rest: Any) -> None:
        if self.spec.seed == 1 and self.step_done >= LATE:
            raise ValueError("no luck")
        trained.append((self.spec.seed, self.step_done))
        real(self, segment, *rest)

    patch.setattr(TrialNetworks, "train", train)


def count_only(patch: pytest.MonkeyPatch, trained: list[tuple[int, int]]) -> None:
    real = TrialNetworks.train

    def train(self: TrialNetworks, *rest: Any) -> None:
        trained.append((self.spec.seed, self.step_done))
        real(self, *rest)

    patch.setattr(TrialNetworks, "train", train)


def curves(study: StudyRecord) -> dict[int, list[list[float]]]:
    """Slot -> validation losses of each of its seeds, of complete trials."""
    return {
        t.slot: [[p.val_loss for p in run.history.points] for run in t.runs if run.history]
        for t in study.complete()
    }


@pytest.fixture
def broken(tmp_path: Path) -> Settings:
    """A finished study, both of whose slots failed in their second seed."""
    settings = create(tmp_path / "broken", **TWO_SEEDS)
    with pytest.MonkeyPatch.context() as patch:
        fail_late(patch, [])
        study = work(settings)
    assert study.pending() == 0 and [t.outcome for t in study.trials] == ["error", "error"]
    return settings


def test_a_repaired_slot_goes_on_from_its_last_state(
    tmp_path: Path, broken: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its finished seed is not trained again, nor are the steps before the failure; then it is what it would have
    been. The finished seed is held against others once, not once for each attempt."""
    storage = open_storage(broken.storage_url)
    assert repair_study(storage, "tiny").slots == ("0", "1") and study_in(storage).pending() == 2
    trained: list[tuple[int, int]] = []
    with monkeypatch.context() as patch:
        count_only(patch, trained)
        study = work(broken)
    assert trained and all(seed == 1 and step >= LATE for seed, step in trained)
    assert study.pending() == 0 and [t.repaired for t in study.trials] == [True, True, False, False]
    assert curves(study) == curves(work(create(tmp_path / "whole", **TWO_SEEDS)))
    search = queues(StudyView(storage, "tiny"))[0]
    assert [len(search.rivals(0, seed, False)) for seed in (0, 1)] == [1, 1]
    storage.engine.dispose()


# -- the command -------------------------------------------------------------------------------------


def test_the_command_repairs_and_says_when_there_is_nothing(command: Command) -> None:
    """All that failed, or those that are named; the same once more finds nothing; exit code 1 for one that has
    not failed. The status then counts what is left."""
    settings = create(command.runs)
    storage = open_storage(settings.storage_url)
    queue = queue_of(storage, "search")
    finish(queue, "error", "error", 0.2, 0.1)

    def repair(*words: str, code: int = 0) -> str:
        return command.quick("study", "repair", "tiny", *words, code=code).output

    assert "4 of 4 slots of the search" in command.quick("study", "status", "tiny").output
    assert "tiny: queued again: 1\n" in repair("--slot", "1")
    assert "3 of 4 slots of the search" in command.quick("study", "status", "tiny").output
    refused = repair("--slot", "2", code=1)
    assert "Slot 2 of 'tiny' has not failed: it is complete." in refused and "Failed have: 0." in refused
    assert "tiny: queued again: 0\n" in repair()
    before = read(settings)
    assert repair() == "tiny: no slot has failed\n" and read(settings) == before
    assert [outcome(t) for t in queue.trials()].count("waiting") == 2


def test_the_command_needs_a_study_and_shows_examples(command: Command) -> None:
    """Looking makes no runs folder."""
    assert "no study 'tiny'" in command.quick("study", "repair", "tiny", code=1).stderr
    assert not command.runs.exists()
    assert "study repair repr-ablation --slot 17" in command.quick("study", "repair", "-h").stdout
