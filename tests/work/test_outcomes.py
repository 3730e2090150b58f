"""What becomes of trials: complete, stopped, diverged, failed; and of what is nobody's fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dashboards.report import write_report
from dashboards.terminal import status
from reprtune.errors import DataError, StateError, StorageError
from reprtune.record.database import open_storage
from reprtune.record.optuna_private.trials import trial_id
from reprtune.record.schema import TrialRecord
from reprtune.record.trials import outcome as outcome_of
from reprtune.settings import Settings
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.levels import level
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange
from reprtune.spec.stop_rules import Median, NoStop, StopRule
from reprtune.spec.study import Arm
from reprtune.spec.trial import TrialSpec
from reprtune.tracking.journal import Journal
from reprtune.training.chain import dropping
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.work.process import MustLeave, WorkerMessage
from reprtune.work.seed_training import SeedTraining
from tests.tiny_study import STUDY
from tests.work.tiny_worker import (
    Counted,
    create,
    make_worker,
    read,
    search_of,
    work,
)

pytestmark = pytest.mark.usefixtures("short_lease")
CRITERIA = {"method.criterion": Choice(options=("l2", "random"))}


# -- outcomes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [("val_error", "train_gflops"), ("val_error",)])
def test_a_trial_that_diverges_is_stopped_and_infeasible_and_the_study_goes_on(
    tmp_path: Path, objectives: tuple[str, ...]
) -> None:
    """A learning rate of 1e30: PRUNED with a constraint above 0; that of the others is not above 0."""
    settings = create(
        tmp_path,
        objectives=objectives,
        slots=5,
        controls=(),
        space={"training.lr": Choice(options=(0.05, 1e30))},
    )
    study = work(settings)
    ends = {(t.params["lr"], t.outcome) for t in study.final()}
    assert ends == {(0.05, "complete"), (1e30, "diverged")} and study.pending() == 0
    for frozen in search_of(settings).trials():
        diverged = frozen.params["lr"] == 1e30
        if outcome_of(frozen) == "repeated":
            assert frozen.state.name == "FAIL"  # no sampler learns from it
            continue
        assert frozen.state.name == ("PRUNED" if diverged else "COMPLETE")
        assert (max(frozen.constraints.values()) > 0) is diverged
    assert all(t.history.diverged_at is not None for t in study.trials if t.outcome == "diverged")


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (RuntimeError("a kernel is missing"), "error", "RuntimeError: a kernel is missing"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to"), "out-of-memory", "CUDA out of memory."),
        (MemoryError(), "out-of-memory", "MemoryError"),
    ],
)
def test_an_error_in_training_is_that_trials_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str, said: str
) -> None:
    """It is used up, with the reason; the others go on."""
    original = dropping.drop_filters

    def drop(network: Any, spec: TrialSpec, *rest: Any) -> Any:
        if level(spec, "method.criterion") == "random":
            raise error
        return original(network, spec, *rest)

    monkeypatch.setattr(dropping, "drop_filters", drop)
    heard: list[WorkerMessage] = []
    study = work(create(tmp_path, slots=5, controls=(), space=CRITERIA), heard=heard.append)
    ends = {(t.params["criterion"], t.outcome) for t in study.final()}
    assert ends == {("l2", "complete"), ("random", outcome)} and study.pending() == 0
    failed = [t for t in study.final() if t.outcome == outcome]
    assert all(said in t.result["error"] and t.history.points for t in failed)
    assert [r.error for r in heard if r.kind == "end" and r.outcome == outcome] == [
        t.result["error"] for t in failed
    ]


def test_a_network_that_cannot_be_built_is_that_trials_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It appears in the journal too, as failed."""
    original = TrialNetworks.__init__

    def build(self: TrialNetworks, spec: Any, *args: Any, **more: Any) -> None:
        if level(spec, "method.criterion") == "random":
            raise ValueError("no such layer")
        original(self, spec, *args, **more)

    monkeypatch.setattr(TrialNetworks, "__init__", build)
    settings = create(tmp_path, slots=5, controls=(), space=CRITERIA)
    study = work(settings)
    failed = [t for t in study.final() if t.outcome == "error"]
    assert failed and study.pending() == 0 and failed[0].result["error"] == "ValueError: no such layer"
    events = [e for _, e in Journal(settings.journal_dir, "tiny").read(f"search-{failed[0].slot:04d}")]
    assert [e["event"] for e in events] == ["begin", "end"] and events[1]["outcome"] == "error"


def test_a_study_whose_trials_all_fail_says_so_and_can_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every error is in the status, none of the pages breaks, and nothing is left to run."""

    def drop(*_: Any) -> None:
        raise RuntimeError("a kernel is missing")

    monkeypatch.setattr(dropping, "drop_filters", drop)
    settings = create(tmp_path, slots=3, space=CRITERIA, controls=(Arm(name="base"),))
    with pytest.raises(
        MustLeave, match=r"3 slots in a row failed, the last with slot 0: .*a kernel is missing"
    ):
        work(settings)
    assert read(settings).pending() == 2, "those that a worker elsewhere may train"
    study = work(settings)
    assert (
        {t.outcome for t in study.final()} == {"error"} and len(study.final()) == 3 and study.pending() == 0
    )
    said = status(study)
    assert "3 of 3 slots" in said and "error: slot 2" in said and "a kernel is missing" in said
    page = write_report(study, tmp_path / "report").read_text()
    assert "3 error" in page or "3 of 3" in page


def test_a_worker_stays_that_has_a_success_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three failures in a row are counted, not three in all; and each of them is in the record as it was."""
    seen: list[int] = []

    def fail(seed: SeedTraining, *_: Any) -> None:
        seen.append(1)
        if len(seen) % 3:
            raise RuntimeError("two of three")
        real(seed, *_)

    real = SeedTraining.build
    monkeypatch.setattr(SeedTraining, "build", fail)
    study = work(create(tmp_path, slots=6, space=CRITERIA, controls=()))
    assert [t.outcome for t in study.trials] == ["error", "error", "complete"] * 2


@pytest.mark.parametrize("error", [StateError("No space left."), DataError("The file is gone.")])
def test_what_is_not_the_trials_fault_stops_the_worker_and_uses_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The slot waits again with its parameters; the same command later goes on to the same end."""

    def fail(*_: Any) -> None:
        raise error

    settings = create(tmp_path, slots=2, controls=(), space=CRITERIA)
    with monkeypatch.context() as patch:
        patch.setattr(dropping, "drop_filters", fail)
        with pytest.raises(type(error)):
            work(settings)
    study = read(settings)
    assert study.counts() == {"waiting": 2, "interrupted": 1} and study.pending() == 2
    assert work(settings).counts() == {"complete": 2, "interrupted": 1}


def test_a_database_that_stays_away_stops_the_worker_with_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot grows stale and is taken up again."""
    settings = create(tmp_path, slots=1, controls=(), space=CRITERIA)
    worker = make_worker(settings)

    def away(*_: Any) -> None:
        raise StorageError("The storage cannot be used: server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr("reprtune.work.attempt.Attempt._set_attr", away)
        with pytest.raises(StorageError, match="server closed"):
            worker.run()
    assert read(settings).counts() == {"running": 1}
    assert work(settings).counts() == {"complete": 1, "lost": 1}


def test_draws_that_do_not_fit_are_outside_the_budget(tmp_path: Path) -> None:
    """S1 of 1 to 6 epochs with total 4: whatever was drawn, 6 trials are complete, and 6 tickets were enough."""
    space = {"method.s1": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("6ep"))}
    settings = create(tmp_path, slots=6, controls=(), space=space)
    tickets = Counted(6)
    study = work(settings, tickets=tickets)
    assert study.counts()["complete"] == 6 and study.counts()["infeasible"] > 0 and tickets.n == 0
    assert all(t.params["s1_epochs"] > 3 for t in study.trials if t.outcome == "infeasible")
    infeasible = [t for t in search_of(settings).trials() if t.params["s1_epochs"] > 3]
    assert all(t.state.name == "PRUNED" and t.constraints["fits"] > 0 for t in infeasible)
    assert not list(Journal(settings.journal_dir, "tiny").root.glob("*/nothing"))
    assert len(Journal(settings.journal_dir, "tiny").slots()) == 6


@pytest.mark.parametrize("settings", [{"method.schedule.cycles": -1}, {"method.schedule.s1": "9ep"}])
def test_an_arm_that_cannot_be_trained_is_an_error(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Its settings break a rule of this version, or its schedule is too long: nothing would be drawn for it the
    next time, and the others go on."""
    where = create(tmp_path, slots=1, space=CRITERIA, control_seeds=(0,))
    storage = open_storage(where.storage_url)
    controls = storage.get_all_trials(storage.get_study_id_from_name("tiny.controls"))
    base = next(trial for trial in controls if trial.user_attrs["arm"] == "base")
    storage.set_trial_user_attr(trial_id(base), "settings", settings)
    storage.engine.dispose()
    study = work(where, tickets=Counted(4))
    assert {t.arm: t.outcome for t in study.controls} == {"standard": "complete", "base": "error"}
    assert len(study.controls) == 2 and study.pending() == 0 and study.controls[1].result["error"]


def test_tickets_are_how_many_slots_are_begun(tmp_path: Path) -> None:
    """3 now, controls first, and the rest later."""
    settings = create(tmp_path)
    study = work(settings, tickets=Counted(3))
    assert [t.outcome for t in study.controls] == ["complete"] * 3 + ["waiting"]
    assert study.pending() == 5 and work(settings, tickets=Counted(9)).pending() == 0


# -- early stopping -------------------------------------------------------------------------------

# 8 steps per epoch; cycles of 2 epochs in 8; a rate of 1e-6 learns nothing.
LEARNING = changed(
    STUDY.base,
    {"task.train_images": 512, "training.total": "8ep", "model.width": 4, "training.lr_schedule": "constant"},
)
RATES = {
    "method.cycles": IntRange(low=1, high=4),
    "training.lr": Choice(options=(1e-6, 0.02, 0.05, 0.1)),
    "method.prune_ratio": FloatRange(low=0.2, high=0.6),
}


@pytest.mark.parametrize("rule", [Median(min_comparable=2), NoStop()])
def test_one_objective_is_reported_to_optuna_and_stopped_only_at_rungs(
    tmp_path: Path, rule: StopRule
) -> None:
    """Some learn nothing and are stopped where the network is whole before its next drop; never with `none`."""
    settings = create(
        tmp_path, base=LEARNING, objectives=("val_error",), slots=12, controls=(), space=RATES,
        stop=rule,
    )  # fmt: skip
    study = work(settings)
    stopped = [t for t in study.final() if t.outcome == "stopped"]
    assert study.pending() == 0 and bool(stopped) is rule.stops
    for trial in stopped:  # the first full cycle is 16 steps, its second drop at 24, later ones every 16
        assert trial.last_step in (24, 40, 56) and trial.history.points[-1].phase == "full"
        assert sent_steps(settings, trial.slot) == [p.step for p in trial.history.points]
    if rule.stops:
        assert {t.slot: t.last_step for t in stopped} == should_have_stopped(study.trials)
    for frozen, trial in zip(search_of(settings).trials(), study.trials, strict=True):
        curve = {p.step: p.val_error for p in trial.history.points} if trial.history else {}
        shown = frozen.intermediate_values
        assert all(curve[step] == value for step, value in shown.items())
        if trial.outcome in ("complete", "stopped") and trial.result["steps_spent"]:
            assert set(shown) == {step for step, _ in trial.rungs if step < 64} != set()


def sent_steps(settings: Settings, slot: int) -> list[int]:
    """Steps of the points that the journal has for MLflow, up to the last one; each once."""
    events = [event for _, event in Journal(settings.journal_dir, "tiny").read(f"search-{slot:04d}")]
    errors = [m for e in events if e["event"] == "metrics" for m in e["metrics"] if m["key"] == "val_error"]
    return sorted({m["step"] for m in errors})


def should_have_stopped(trials: Sequence[TrialRecord]) -> dict[int, int]:
    """Slot -> step, with numpy: worse than the median of those before it, at the first rung where that is so.

    One worker, so "before" is a smaller number; a curve counts where it has points on both sides.
    """
    stops: dict[int, int] = {}
    for i, trial in enumerate(trials):
        errors = dict(trial.rungs)
        for step in (s for s in (24, 40, 56) if s in errors and s in trial.history.rungs):
            curves = [list(zip(*other.rungs, strict=True)) for other in trials[:i]]
            others = [np.interp(step, *curve) for curve in curves if curve[0][0] <= step <= curve[0][-1]]
            if len(others) >= 2 and errors[step] > np.median(others):
                stops[trial.slot] = step
                break
    return stops


def test_a_draw_that_breaks_a_rule_is_infeasible_and_drawn_again(tmp_path: Path) -> None:
    """Fields that are right one by one may not go together: no worker stops, no budget is spent."""
    space = {
        "training.optimizer": Choice(options=("sgd", "adam")),
        "training.momentum": Choice(options=(0.9, 0.5)),  # adam has none
    }
    study = work(create(tmp_path, slots=8, controls=(), space=space))
    assert len(study.final()) == 8 and study.pending() == 0
    assert {t.params["momentum"] for t in study.final() if t.params["optimizer"] == "adam"} <= {0.9}
    refused = [t for t in study.trials if t.outcome == "infeasible"]
    assert all(t.params == {"optimizer": "adam", "momentum": 0.5} for t in refused) and refused


def test_controls_are_never_stopped(tmp_path: Path) -> None:
    """However bad: survivors only would make the comparison a lie."""
    settings = create(tmp_path, stop=Median(min_comparable=1), slots=6, control_seeds=(0, 1, 2))
    assert {t.outcome for t in work(settings).controls} == {"complete"}
