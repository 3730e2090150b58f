"""Trials with several seeds: one after the other, each a run of its own, the objectives their means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

from reprtune.errors import StudyError
from reprtune.history import History, Point
from reprtune.record.pack import pack
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import find_seed
from reprtune.settings import Settings
from reprtune.spec.space import FloatRange, IntRange
from reprtune.spec.stop_rules import Median
from reprtune.states.store import StateStore
from reprtune.stopping.curves import Rival, Standing
from reprtune.study.export import slot_network
from reprtune.tracking.journal import Journal
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Member
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.work.launch import forget_beginnings
from reprtune.work.process import WorkerMessage, worker_name
from reprtune.work.seed_training import SeedTraining
from reprtune.work.seeds import mean_points
from tests.work.tiny_worker import LOADED_DATA, create, read, search_of, work, work_together

pytestmark = pytest.mark.usefixtures("short_lease")
SPACE = {
    "training.lr": FloatRange(low=0.001, high=0.1, log=True),
    "method.cycles": IntRange(low=1, high=1),
}
SEEDS = {"seeds": 3, "slots": 2, "controls": (), "space": SPACE}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, StudyRecord]:
    """A study of 2 slots with 3 seeds each that one worker ran to its end."""
    settings = create(tmp_path_factory.mktemp("whole"), **SEEDS)
    return settings, work(settings)


def curves(study: StudyRecord) -> dict[int, list[tuple[int, list[float]]]]:
    """Slot -> (seed, validation losses) of every seed it has finished or ended with."""
    return {
        t.slot: [(r.seed, [p.val_loss for p in r.history.points]) for r in t.runs if r.history]
        for t in study.final()
    }


def test_every_seed_is_the_run_it_would_be_alone_and_the_objectives_are_means(
    whole: tuple[Settings, StudyRecord],
) -> None:
    """Each (slot, seed) again without a store, as an oracle; seeds begin at the base's."""
    _, study = whole
    assert study.counts() == {"complete": 2} and study.spec.trial_seeds() == (0, 1, 2)
    for trial in study.complete():
        runs = [Chain(replace(study.spec.trial(trial.params), seed=seed), LOADED_DATA) for seed in (0, 1, 2)]
        assert all(sum(1 for _ in run) for run in runs)
        alone = [(seed, [p.val_loss for p in run.history.points]) for seed, run in enumerate(runs)]
        assert curves(study)[trial.slot] == alone and alone[0][1] != alone[1][1] != alone[2][1]
        last = [run.history.points[-1] for run in runs]
        assert trial.values is not None
        assert trial.values["val_error"] == pytest.approx(mean(p.val_error for p in last), abs=1e-12)
        assert trial.values["train_gflops"] == pytest.approx(mean(p.gflops for p in last), rel=1e-12)
        assert [r.measured["val_error"] for r in trial.runs] == [p.val_error for p in last]
        assert trial.result["steps_alone"] == trial.result["steps_spent"] == 24
        assert trial.result["gflops_spent"] == pytest.approx(sum(p.gflops for p in last), rel=1e-9)


def test_each_seed_has_a_run_below_its_slots(whole: tuple[Settings, StudyRecord]) -> None:
    """The slot's run has the means of the end and of the curve, its seeds have their own points."""
    settings, study = whole
    journal = Journal(settings.journal_dir, "tiny")
    keys = [f"search-000{slot}{seed}" for slot in (0, 1) for seed in ("", "-s0", "-s1", "-s2")]
    assert journal.slots() == keys
    errors: dict[str, dict[int, float]] = {}
    for key in keys:
        events = [event for _, event in journal.read(key)]
        begin, end = events[0], events[-1]
        own = key.count("-") == 1
        parent = "study" if own else key[:11]
        assert begin["parent"] == f"{study.instance}/{parent}" and end["outcome"] == "complete"
        role, seed = begin["tags"]["role"], str(begin["tags"]["seed"])
        assert (role, seed) == (("search", "0, 1, 2") if own else ("seed", key[-1]))
        assert begin["tags"]["slot"] == int(key[10])
        points = [m for e in events if e["event"] == "metrics" for m in e["metrics"]]
        errors[key] = {m["step"]: m["value"] for m in points if m["key"] == "val_error"}
        errors[key][-1] = end["results"]["val_error"]
        assert any(e.get("name") == "network" for e in events) is not own
    for slot in ("search-0000", "search-0001"):
        seeds = [errors[f"{slot}-s{seed}"] for seed in (0, 1, 2)]
        assert errors[slot].keys() == {-1, 2, 4, 6, 8}
        assert all(v == pytest.approx(mean(s[k] for s in seeds)) for k, v in errors[slot].items())


def test_the_last_state_of_every_seed_stays_and_can_be_exported(
    whole: tuple[Settings, StudyRecord],
) -> None:
    """By its own name; the slot's name means its last seed; a seed it does not have is refused."""
    settings, study = whole
    forget_beginnings(settings, study.digest)
    left = {path.stem for path in settings.states.rglob("*.state")}
    assert left == {run.state for trial in study.complete() for run in trial.runs} and len(left) == 6
    for name, seed in (("1-s0", 0), ("search-0001-s1", 1), ("1-s2", 2), ("1", 2)):
        trial, run = find_seed(study, name)
        network = slot_network(settings, study, name)
        assert (trial.slot, run.seed) == (1, seed) and network.spec.seed == seed
        assert network.points[-1].val_error == run.measured["val_error"]
    with pytest.raises(StudyError, match=r"no seed 7.*0-s0, 0-s1, 0-s2|no seed 7"):
        find_seed(study, "0-s7")


@pytest.mark.parametrize("after", [5, 8, 13, 20, 44])
def test_a_worker_that_leaves_in_any_seed_loses_and_doubles_nothing(
    tmp_path: Path, whole: tuple[Settings, StudyRecord], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many of 48 steps, and in the middle of an epoch too: the same bits, no step twice, each one spent once."""
    steps = count_steps(monkeypatch)
    settings = create(tmp_path, **SEEDS)
    study = work(settings, leaving=lambda: len(steps) >= after)
    assert len(steps) == after and study.pending() > 0
    final = work(settings)
    assert final.pending() == 0 and len(steps) == 48
    assert sum(t.result.get("steps_spent", 0) for t in final.trials) == 48
    assert curves(final) == curves(whole[1])
    assert [t.values for t in final.complete()] == [t.values for t in whole[1].complete()]


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the seed of every step that is trained."""
    steps: list[int] = []
    original = Member.advance

    def advance(self: TrialNetworks, index: int) -> None:
        steps.append(self.spec.seed)
        original(self, index)

    monkeypatch.setattr(Member, "advance", advance)
    return steps


def when_in_seed(settings: Settings, seed: int, act: Callable[[], Any]) -> tuple[list[Any], Any]:
    """An ear for `work` that acts once, when a trial has begun that seed; and what it came to."""
    done: list[Any] = []

    def heard(what: WorkerMessage) -> None:
        if what.kind == "progress" and not done:
            running = [t for t in read(settings).trials if t.outcome == "running"]
            if running and running[0].seed == seed:
                done.append(act())

    return done, heard


@pytest.mark.parametrize("are_states_left", [True, False])
def test_a_slot_whose_worker_vanished_in_its_second_seed_keeps_the_first(
    tmp_path: Path,
    whole: tuple[Settings, StudyRecord],
    are_states_left: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seed 0 is in the record: it is never trained again, also when no state is left; the same bits."""
    settings = create(tmp_path, **SEEDS)
    search = search_of(settings)

    def vanish() -> int:
        n = search.release_worker(worker_name(0))
        if not are_states_left:
            StateStore(settings.states).delete(path.stem for path in settings.states.rglob("*.state"))
        return n

    steps = count_steps(monkeypatch)
    done, heard = when_in_seed(settings, 1, vanish)
    study = work(settings, heard=heard)
    assert done == [1] and study.counts() == {"complete": 2, "lost": 1}
    assert steps.count(0) == 16, "seed 0 of two slots once"
    lost = next(t for t in study.trials if t.outcome == "lost")
    assert [run.seed for run in lost.earlier] == [0] and curves(study) == curves(whole[1])


def test_a_trial_stopped_in_its_second_seed_keeps_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are recorded, noted and exported; and it was compared with curves of its own seed."""
    compared: list[tuple[int, Sequence[Rival]]] = []

    def stop(_rule: Any, standing: Standing, rivals: Sequence[Rival]) -> bool:
        compared.append((standing.step, rivals))
        return len(compared) == 4  # two seeds of slot 0, seeds 0 and 1 of slot 1

    monkeypatch.setattr("reprtune.work.early_stop.should_stop", stop)
    space = {"training.lr": SPACE["training.lr"]}
    settings = create(tmp_path, seeds=2, slots=2, controls=(), space=space, stop=Median(min_comparable=1))
    study = work(settings)
    first, second = sorted(study.final(), key=lambda t: t.slot)
    assert (first.outcome, second.outcome) == ("complete", "stopped") and second.values is None
    assert [run.seed for run in second.runs] == [0, 1]
    assert second.earlier[0].history is not None and second.earlier[0].history.points[-1].step == 8
    assert second.last_step == compared[3][0] < 8
    assert compared[0][1] == compared[1][1] == []
    for (_, others), run in zip(compared[2:], first.runs, strict=True):
        assert [other.curve for other in others] == [run.rungs]
    forget_beginnings(settings, study.digest)
    assert slot_network(settings, study, "1-s0").origin["outcome"] == "complete"
    assert slot_network(settings, study, "1-s1").origin["outcome"] == "stopped"
    events = [e for _, e in Journal(settings.journal_dir, "tiny").read("search-0001")]
    assert events[-1]["outcome"] == "stopped"


def test_optuna_sees_the_first_seeds_rungs_only(tmp_path: Path) -> None:
    """With one objective: it has one value for a step, and every trial has its first seed."""
    settings = create(
        tmp_path, seeds=2, slots=2, controls=(), objectives=("val_error",),
        space={"training.lr": SPACE["training.lr"]},
    )  # fmt: skip
    study = work(settings)
    for frozen, trial in zip(search_of(settings).trials(), study.trials, strict=True):
        first = trial.runs[0]
        assert frozen.intermediate_values == dict(p for p in first.rungs if p[0] < 8) != {}


def test_a_trial_that_diverges_with_its_second_seed_is_diverged_and_keeps_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no values, for a mean without it would say that it went well."""
    original = Member.advance

    def advance(self: TrialNetworks, index: int) -> None:
        original(self, index)
        if self.spec.seed == 1:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))

    monkeypatch.setattr(Member, "advance", advance)
    settings = create(tmp_path, **{**SEEDS, "slots": 1})
    (trial,) = work(settings).final()
    assert trial.outcome == "diverged" and trial.values is None and trial.seed == 1
    assert [run.seed for run in trial.earlier] == [0] and "val_error" in trial.earlier[0].measured
    (frozen,) = search_of(settings).trials()
    assert frozen.constraints["finite"] > 0


def test_two_workers_share_the_slots_of_a_study_with_several_seeds(tmp_path: Path) -> None:
    """A slot's seeds stay with its worker; every seed of every slot is there once."""
    study = work_together(create(tmp_path, **{**SEEDS, "slots": 4}), 2)
    assert study.counts() == {"complete": 4}
    assert all([run.seed for run in trial.runs] == [0, 1, 2] for trial in study.complete())
    assert all(trial.result["steps_spent"] == 24 for trial in study.complete())


def test_the_progress_of_a_slot_goes_on_from_seed_to_seed(tmp_path: Path) -> None:
    """It counts the steps of all its seeds, and never falls back; what is said at the end is their mean."""
    heard: list[WorkerMessage] = []
    study = work(create(tmp_path, **{**SEEDS, "slots": 1}), heard=heard.append)
    steps = [what.step for what in heard if what.kind == "progress"]
    assert steps == sorted(steps) and {8, 16} <= set(steps) and steps[0] < 8 and steps[-1] < 24
    assert {what.total for what in heard if what.kind == "progress"} == {24}
    (end,) = [what for what in heard if what.kind == "end"]
    assert end.val_error == pytest.approx(mean(r.measured["val_error"] for r in study.complete()[0].runs))


def test_a_second_seed_that_cannot_begin_keeps_what_the_first_has_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial ends with an error, and with the steps of its first seed."""
    build = SeedTraining.build

    def fail(self: SeedTraining, should_stop: Callable[[], bool]) -> None:
        if self.spec.seed == 1:
            raise RuntimeError("no second")
        build(self, should_stop)

    monkeypatch.setattr(SeedTraining, "build", fail)
    (trial,) = work(create(tmp_path, **{**SEEDS, "slots": 1})).final()
    assert trial.outcome == "error" and trial.result["error"] == "RuntimeError: no second"
    assert trial.result["steps_spent"] == trial.result["steps_alone"] == 8
    assert [run.seed for run in trial.runs] == [0, 1] and "state" not in trial.result


def test_the_mean_curve_has_the_steps_that_all_seeds_have() -> None:
    """Means of what is measured, the last time, the first seed's phase; a seed that took other steps cuts out its own."""
    curves = [
        [point(2, 0.5, 1.0), point(4, 0.3, 2.0), point(6, 0.1, 3.0)],
        [point(2, 0.7, 5.0), point(5, 0.9, 6.0), point(6, 0.2, 4.0)],
    ]
    found = mean_points([pack(History(total_steps=8, steps_per_epoch=2, points=tuple(c))) for c in curves])
    assert [(p.step, round(p.val_error, 9), p.time) for p in found] == [(2, 0.6, 5.0), (6, 0.15, 4.0)]
    assert mean_points([]) == []


def point(step: int, error: float, at: float) -> Point:
    return Point(
        step=step, phase="full", cycle=0, lr=0.1, train_loss=1.0, val_loss=1.0, val_error=error, gflops=1.0,
        seconds=1.0, time=at,
    )  # fmt: skip
