"""A project that was copied, and machines that share a study and no tracking server: where runs and files land."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from reprtune.record.database import open_storage
from reprtune.record.storage import read_header
from reprtune.settings import Settings
from reprtune.tracking import elsewhere
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, prepare
from reprtune.tracking.shipper import Shipper
from tests.command import TINY, Command
from tests.tracking.tracked import DIGEST, write
from tests.tracking.tracked import STUDY as TRACKED

ONE = ("--set", "slots=1", "--set", "space.method.cycles.high=1")


def files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def copied(settings: Settings, to: Path) -> Settings:
    """As `cp -r` does it."""
    shutil.copytree(settings.runs_dir, to)
    return Settings(runs_dir=to)


def sent(settings: Settings, slot: int) -> Shipper:
    """A slot of the tracked study that has ended, sent to MLflow; what a person was told."""
    journal = Journal(settings.journal_dir, TRACKED.name)
    write(journal, f"search-{slot:03d}", range(1, 3))
    journal.artifact(f"search-{slot:03d}", "plots.html", f"<html>{slot}", drawn_from="plots.json")
    return Shipper(settings, TRACKED, DIGEST)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_copied_project_puts_its_files_beside_itself(
    settings: Settings, tmp_path: Path, is_there: bool
) -> None:
    """The old one, whether it is still there or was moved away, is left alone; what it had is found in the new one."""
    prepare(settings, TRACKED, DIGEST)
    assert sent(settings, 0).sync().error is None
    old, new = settings.runs_dir, copied(settings, tmp_path / "copy of it" / "runs")
    if not is_there:
        shutil.rmtree(old)
    before, said = files(old), []
    doctor = Command(new.runs_dir).quick("doctor").stdout
    assert f"MLflow still looks for files in {old}/mlflow-artifacts" in doctor
    _artifact_repos_cache.clear()  # as in a process of its own
    shipper = sent(new, 1)
    shipper._report = said.append
    assert shipper.sync().error is None
    assert files(old) == before and old.exists() == is_there
    client = connect(new.mlflow_uri)
    experiment = client.get_experiment_by_name(TRACKED.name)
    runs = {str(run.info.run_name): run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"s", "slot 000", "slot 001"}
    for run in runs.values():
        assert run.info.artifact_uri.startswith((tmp_path / "copy of it").as_uri())
        assert client.list_artifacts(run.info.run_id)
    pages = sorted(p.read_text() for p in new.runs_dir.rglob("plots.html"))
    assert pages == ["<html>0", "<html>1"]
    (told,) = said
    assert told.startswith(
        f"The runs folder was moved: the files of MLflow's runs, in {old}/mlflow-artifacts before"
    )
    assert str(new.runs_dir) in told
    assert "still looks for" not in Command(new.runs_dir).quick("doctor").stdout


def test_a_folder_of_another_machine_is_not_made_here(settings: Settings, tmp_path: Path) -> None:
    """Two machines and one database of MLflow's: its files are the first one's. The second sends all but files, and
    says why; `doctor` does too."""
    uri = f"sqlite:///{tmp_path}/shared.db"
    first = Settings(runs_dir=tmp_path / "first", tracking_uri=uri)
    prepare(first, TRACKED, DIGEST)
    there = tmp_path / "first" / "mlflow-artifacts"
    there.rename(tmp_path / "on the first machine")
    second = Settings(runs_dir=tmp_path / "second", tracking_uri=uri)
    result = sent(second, 0).sync()
    assert result.error is not None and f"in {there}, which is not on this machine" in result.error
    assert not there.exists() and result.pending == 2  # config.json and plots.html
    client = connect(uri)
    runs = client.search_runs([client.get_experiment_by_name(TRACKED.name).experiment_id])
    assert {run.info.run_name: run.info.status for run in runs}["slot 000"] == "FINISHED"
    doctor = Command(second.runs_dir, {"MLFLOW_TRACKING_URI": uri}).quick("doctor", code=1).stdout
    assert f"in {there}, which is not on this machine" in doctor
    (tmp_path / "on the first machine").rename(there)
    assert sent(second, 0).sync().pending == 0


# -- one study, two stores --------------------------------------------------------------------------


def test_a_study_says_when_its_runs_would_go_to_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first machine's own database is the study's. On a second machine `status`, `doctor` and the run itself say
    that its runs go elsewhere; a store that is adopted has all runs, and is the study's from then on."""
    runs = tmp_path / "first"
    one = Command(runs)
    one.quick("study", "create", TINY, *ONE)
    url = one.settings.storage_url
    monkeypatch.setattr(elsewhere.platform, "node", lambda: "second")
    two = Command(tmp_path / "second", {"REPRTUNE_STORAGE": url})
    warning = f"The runs of this study are in the tracking store sqlite:///{runs}/mlflow.db (of the machine"
    assert warning in two.quick("study", "status", "tiny").stdout
    assert "--adopt" in two.quick("study", "status", "tiny").stdout
    assert warning in two.quick("doctor", "tiny").stdout
    assert not (tmp_path / "second" / "mlflow.db").exists()
    assert warning in two.quick("study", "sync", "tiny").stderr
    said = two.quick("study", "sync", "tiny", "--adopt").stdout
    assert f"remembers that its runs are in sqlite:///{tmp_path}/second/mlflow.db" in said
    assert warning not in two.quick("study", "status", "tiny").stdout + two.quick("doctor", "tiny").stdout
    monkeypatch.undo()
    assert "/second/mlflow.db (of the machine second)" in one.quick("study", "status", "tiny").stdout


def test_a_store_that_was_moved_is_still_the_studys(command: Command, tmp_path: Path) -> None:
    """It is known by the number of the study's run in it, not by its path."""
    command.quick("study", "create", TINY, *ONE)
    moved = Command(tmp_path / "elsewhere")
    command.runs.rename(moved.runs)
    assert "tracking" not in moved.quick("study", "status", "tiny").stdout
    fact = read_header(open_storage(moved.settings.storage_url), "tiny").facts["experiment"]
    experiment = connect(moved.settings.mlflow_uri).get_experiment_by_name("tiny")
    (run,) = connect(moved.settings.mlflow_uri).search_runs([experiment.experiment_id])
    assert (fact["run"], fact["store"]) == (run.info.run_id, f"sqlite:///{command.runs}/mlflow.db")
