"""MLflow equals the record, wherever in the end of a slot its worker was killed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from reprtune.settings import Settings
from reprtune.spec.space import FloatRange, IntRange
from reprtune.study.queueing import refill
from reprtune.tracking.shipper import Shipper
from reprtune.work import run_journal
from reprtune.work.run_journal import RunJournal
from reprtune.work.seed_training import SeedTraining
from tests.command import Command
from tests.study.two_databases import KILLED, in_child, kill_minus_9
from tests.work.in_mlflow import Shown, in_mlflow
from tests.work.tiny_worker import create, make_worker, read, search_of, work

pytestmark = pytest.mark.usefixtures("short_lease")
SPACE = {
    "training.lr": FloatRange(low=0.001, high=0.1, log=True),
    "method.cycles": IntRange(low=1, high=1),
}
ONE = {"slots": 1, "controls": (), "space": SPACE}


@pytest.fixture
def command(tmp_path: Path, empty_mlflow: Path) -> Command:
    (tmp_path / "killed").mkdir()
    shutil.copy(empty_mlflow, tmp_path / "killed" / "mlflow.db")
    return Command(tmp_path / "killed")


def undisturbed(folder: Path, **spec: Any) -> Settings:
    settings = create(folder, **spec)
    work(settings)
    Command(folder).quick("study", "sync", "tiny")
    return settings


def by_journal(settings: Settings) -> dict[str, Shown]:
    """What MLflow has when the journal, and nothing else, was sent."""
    study = read(settings)
    assert Shipper(settings, study.spec, study.instance, facts=study.facts).sync().error is None
    return in_mlflow(settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The study that nothing happened to, as MLflow has it."""
    return undisturbed(tmp_path_factory.mktemp("whole"), **ONE)


def killed_at(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, where: Any, name: str, nth: int = 1
) -> None:
    """A worker that kill -9 ends when something is called for the nth time."""
    calls, original = [], getattr(where, name)

    def call(*args: Any, **options: Any) -> Any:
        calls.append(name)
        return kill_minus_9() if len(calls) == nth else original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, call)
        assert in_child(lambda: make_worker(settings).run()) == KILLED


SLOW = pytest.mark.slow  # no other rule, more places


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (SeedTraining, "end_journal"),
        (run_journal, "files"),
        pytest.param(RunJournal, "write_results", marks=SLOW),
        pytest.param(RunJournal, "end", marks=SLOW),
    ],
)
def test_a_slot_whose_worker_was_killed_after_its_end_was_recorded_is_whole_in_mlflow(
    monkeypatch: pytest.MonkeyPatch, command: Command, whole: Settings, where: Any, name: str
) -> None:
    """Before its last points, its page, its network or its end: `sync` makes of it what MLflow has of a study that
    nothing happened to, with the same weights; and does nothing the second time."""
    settings = create(command.runs, **ONE)
    killed_at(monkeypatch, settings, where, name)
    (trial,) = command.trials("tiny")
    assert trial.state == TrialState.COMPLETE
    assert by_journal(settings)["slot 0"].status == "RUNNING"
    said = command.quick("study", "sync", "tiny").stdout
    assert "runs were not in MLflow as the record says, and mended from it" in said  # the study's own is one
    found, expected = in_mlflow(settings), in_mlflow(whole)
    assert found.keys() == expected.keys() == {"tiny", "slot 0"}
    assert found["slot 0"].same() == expected["slot 0"].same()
    assert (found["tiny"].status, found["slot 0"].status) == ("FINISHED", "FINISHED")
    assert "network/weights.pt" in found["slot 0"].files
    assert command.quick("study", "sync", "tiny").stdout == "0 events sent, 0 waiting\n"
    assert in_mlflow(settings) == found


def test_a_machine_that_is_gone_with_its_journal_is_missed_by_nobody(
    monkeypatch: pytest.MonkeyPatch, command: Command, whole: Settings
) -> None:
    """The run is made anew from the record. Its states are gone too: then its network is said to be, here and where
    somebody asks for it."""
    settings = create(command.runs, **ONE)
    killed_at(monkeypatch, settings, SeedTraining, "end_journal")
    shutil.rmtree(settings.journal_dir)
    shutil.rmtree(settings.states)
    said = command.quick("study", "sync", "tiny").stdout
    assert "the network of slot 0 is not in MLflow, and not in" in said
    found, expected = in_mlflow(settings)["slot 0"], in_mlflow(whole)["slot 0"]
    assert (found.status, found.params, found.tags, found.points) == expected.same()[:4]
    assert found.files.items() == {k: v for k, v in expected.files.items() if "network" not in k}.items()
    refused = command.quick("trial", "export", "tiny", "0", code=1)
    assert "its weights are gone" in refused.stderr and "trial run tiny 0 --keep" in refused.stderr


@pytest.mark.parametrize("nth", [1, pytest.param(2, marks=SLOW)])
def test_of_several_seeds_each_and_their_means_are_whole(
    monkeypatch: pytest.MonkeyPatch, command: Command, tmp_path: Path, nth: int
) -> None:
    """Killed at the end of the first seed, which the same slot goes on after, and of the last one."""
    spec = {**ONE, "seeds": 2}
    expected = in_mlflow(undisturbed(tmp_path / "whole", **spec))
    settings = create(command.runs, **spec)
    killed_at(monkeypatch, settings, SeedTraining, "end_journal", nth)
    queue = search_of(settings)
    queue.release_worker(queue.trials()[0].user_attrs["lease"]["worker"])
    refill(queue.view)
    if nth == 1:
        command.quick("study", "sync", "tiny")
        assert {n: run.status for n, run in in_mlflow(settings).items()} == {
            "tiny": "RUNNING", "slot 0": "KILLED", "slot 0, seed 0": "FINISHED",
        }  # fmt: skip
    work(settings)
    command.quick("study", "sync", "tiny")
    found = in_mlflow(settings)
    assert found.keys() == expected.keys() == {"tiny", "slot 0", "slot 0, seed 0", "slot 0, seed 1"}
    for name, run in found.items():
        # What an attempt spends is its own; a seed that the one before has trained costs it nothing.
        points, wanted = (
            [p for p in shown.points if not p[0].endswith("_spent")] for shown in (run, expected[name])
        )
        assert (run.status, points) == (expected[name].status, wanted), name
        assert run.files == expected[name].files


def test_a_slot_that_is_given_up_has_failed_in_mlflow(
    monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """No worker is left to say so: the record does, with the reason."""
    settings = create(command.runs, **ONE)
    for _ in range(5):
        killed_at(monkeypatch, settings, RunJournal, "write_points")
        queue = search_of(settings)
        queue.release_worker(queue.trials()[-1].user_attrs["lease"]["worker"])
        refill(queue.view)
    assert by_journal(settings)["slot 0"].status == "RUNNING"
    command.quick("study", "sync", "tiny")
    run = in_mlflow(settings)["slot 0"]
    assert (run.status, run.tags["reprtune.outcome"]) == ("FAILED", "error")


def test_a_slot_that_waits_again_seems_to_be_trained_by_nobody(
    monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """Lost, it is KILLED until somebody takes it up; then it ends as if nothing had happened, in the same run."""
    settings = create(command.runs, **ONE)
    killed_at(monkeypatch, settings, RunJournal, "write_points")
    command.quick("study", "sync", "tiny")
    assert in_mlflow(settings)["slot 0"].status == "RUNNING"  # it may still be alive
    queue = search_of(settings)
    queue.release_worker(queue.trials()[0].user_attrs["lease"]["worker"])
    refill(queue.view)
    command.quick("study", "sync", "tiny")
    run = in_mlflow(settings)["slot 0"]
    assert (run.status, run.tags["reprtune.outcome"]) == ("KILLED", "lost")
    work(settings)
    command.quick("study", "sync", "tiny")
    assert in_mlflow(settings)["slot 0"].status == "FINISHED"
