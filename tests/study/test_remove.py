"""`study delete --with-mlflow`: all of the study, nothing of others, and the record last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from reprtune.errors import StudyError, TrackingError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.settings import Settings
from reprtune.spec.study import Arm
from reprtune.study.queueing import fill_new
from reprtune.study.remove import check_idle, delete_study
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, prepare
from reprtune.tracking.mlflow.removal import find_in_mlflow
from reprtune.tracking.shipper import Shipper
from reprtune.work.queue import queues
from reprtune.work.run_journal import RunJournal
from tests.command import Command
from tests.flat import with_fields
from tests.stored import empty_storage, record
from tests.tracking.tracked import STUDY, begin
from tests.work.tiny_worker import create, read, work


def made(settings: Settings, name: str = "s") -> StudyRecord:
    """A stored study with two slots in MLflow."""
    path = settings.runs_dir / "reprtune.db"
    storage = open_storage(settings.storage_url) if path.exists() else empty_storage(path)
    study = record(with_fields(STUDY, name=name))
    facts = {"experiment": prepare(settings, study.spec, study.instance)}
    study = replace(study, facts={**study.facts, **facts})
    stored.create(storage, study)
    for key in ("search-000", "search-001"):
        event = {**begin(key), "identity": f"{study.instance}/{key}", "parent": f"{study.instance}/study"}
        Journal(settings.journal_dir, name).append(key, event)
    assert Shipper(settings, study.spec, study.instance, facts=facts).sync().error is None
    storage.engine.dispose()
    return study


def test_a_study_is_not_deleted_under_its_workers(tmp_path: Path) -> None:
    """Whoever trains it is named, whichever part he is at; a worker whose beats are stale stops nobody."""
    settings = Settings.from_environment(runs_dir=str(tmp_path))
    storage = empty_storage(tmp_path / "reprtune.db")
    spec = with_fields(STUDY, controls=(Arm(name="standard", changes={"method": "standard"}),))
    study = record(spec)
    view = StudyView(storage, spec.name)
    stored.create(storage, study, lambda: fill_new(view, study))
    check_idle(settings, study)
    queue = queues(view)[0]
    assert queue.take("host:1:0", {"host": "host", "device": "cpu"}) is not None
    with pytest.raises(StudyError, match="is being trained by host:1:0"):
        check_idle(settings, study)
    with storage.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 day')")
        )
    check_idle(settings, study)
    storage.engine.dispose()


def test_a_study_is_not_deleted_while_a_worker_writes_what_a_trial_has_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial has ended in the record, and its journal has not; once the worker has left, the study may go."""
    refused: list[str] = []
    settings = create(tmp_path, slots=1, controls=())

    def look(*_: Any) -> None:
        study = read(settings)
        assert [t.outcome for t in study.trials][-1] == "complete"
        with pytest.raises(StudyError, match="is being trained by") as error:
            check_idle(settings, study)
        refused.append(str(error.value))

    monkeypatch.setattr(RunJournal, "write_results", look)
    study = work(settings)
    assert len(refused) == 1
    check_idle(settings, study)


def test_all_runs_and_the_experiment_are_deleted_and_its_name_is_free(settings: Settings) -> None:
    """MLflow would keep a deleted experiment's name; afterwards the same study can be created again."""
    study = made(settings)
    there = find_in_mlflow(settings, study)
    assert (len(there.run_ids), there.takes_experiment) == (3, True)
    there.delete()
    client = connect(settings.mlflow_uri)
    assert client.get_experiment_by_name("s") is None
    assert client.search_runs([study.facts["experiment"]["id"]]) == []
    again = prepare(settings, study.spec, study.instance)
    assert again["name"] == "s" and again["id"] != study.facts["experiment"]["id"]


def test_an_experiment_that_others_use_or_made_stays(settings: Settings) -> None:
    """Two studies in one experiment: the first's runs go, the second's and the experiment stay."""
    shared = replace(settings, experiment="ours")
    one, two = made(shared, "one"), made(shared, "two")
    there = find_in_mlflow(shared, one)
    assert (len(there.run_ids), there.takes_experiment) == (3, False)
    there.delete()
    client = connect(settings.mlflow_uri)
    left = client.search_runs([two.facts["experiment"]["id"]])
    assert {run.data.tags["reprtune.identity"].partition("/")[0] for run in left} == {two.instance}
    last = find_in_mlflow(shared, two)  # alone now, but it was made for the other
    assert (len(last.run_ids), last.takes_experiment) == (3, False)


def test_an_experiment_that_was_there_before_stays(settings: Settings) -> None:
    """Empty or not: the study did not make it."""
    client = connect(settings.mlflow_uri)
    experiment_id = client.create_experiment("theirs", artifact_location=settings.mlflow_artifacts)
    shared = replace(settings, experiment="theirs")
    find_in_mlflow(shared, made(shared)).delete()
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"


def test_an_interrupted_deletion_is_repeated(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after the first run, then again: nothing is left, and the record was there all the time."""
    study = made(settings)
    there = find_in_mlflow(settings, study)
    calls: list[str] = []

    def interrupted(run_id: str) -> None:
        calls.append(run_id)
        if len(calls) == 2:
            raise KeyboardInterrupt
        type(there.client).delete_run(there.client, run_id)

    monkeypatch.setattr(there.client, "delete_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        there.delete()
    assert stored.names(open_storage(settings.storage_url)) == ["s"]
    again = find_in_mlflow(settings, study)
    assert (len(again.run_ids), again.takes_experiment) == (2, True)
    assert again.run_ids[-1] == there.run_ids[-1]  # the study's own run goes last
    again.delete()
    assert connect(settings.mlflow_uri).get_experiment_by_name("s") is None
    assert find_in_mlflow(settings, study).run_ids == ()
    delete_study(settings, study)
    assert stored.names(open_storage(settings.storage_url)) == []


def test_a_server_that_is_away_leaves_everything(settings: Settings) -> None:
    """One clear line; the record, the states and the journal are there, and without the option it goes."""
    made(settings)
    command = Command(settings.runs_dir, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    said = command.quick("study", "delete", "s", "--with-mlflow", "--yes", code=1).stderr
    assert "http://127.0.0.1:9 cannot be used" in said
    assert stored.names(open_storage(settings.storage_url)) == ["s"]
    assert Journal(settings.journal_dir, "s").slots() == ["search-000", "search-001"]
    command.quick("study", "delete", "s", "--yes")
    assert stored.names(open_storage(settings.storage_url)) == []


def test_the_question_says_what_goes(settings: Settings) -> None:
    """A no leaves everything."""
    from click.testing import CliRunner

    import cli

    made(settings)
    words = ["study", "delete", "s", "--with-mlflow", "--runs", str(settings.runs_dir)]
    said = CliRunner().invoke(cli.cli, words, input="n\n")
    assert said.exit_code == 1
    assert "with 3 runs in MLflow at sqlite:///" in said.stdout and "experiment 's'?" in said.stdout
    assert len(find_in_mlflow(settings, _read(settings)).run_ids) == 3


def _read(settings: Settings) -> StudyRecord:
    return stored.read_study(open_storage(settings.storage_url), "s")


def test_a_lost_server_in_the_middle_is_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever MLflow raises."""
    there = find_in_mlflow(settings, made(settings))

    def away(_: str) -> None:
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(there.client, "delete_run", away)
    with pytest.raises(TrackingError, match="reset by peer"):
        there.delete()
    assert Path(settings.runs_dir / "reprtune.db").exists()
