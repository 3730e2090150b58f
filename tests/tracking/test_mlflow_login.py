"""A real MLflow server that asks for a password, and the commands against it, told by the environment alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reprtune.tracking.mlflow.connection import connect
from tests.command import TINY, Command
from tests.tracking.mlflow_server import Server

LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a long pass phrase"}
NO_RETRY = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("auth")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\n"
        f"admin_username = admin\nadmin_password = {LOGIN['MLFLOW_TRACKING_PASSWORD']}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "k"}
    server = Server(folder, ["--app-name", "basic-auth"], environment)
    server.start()
    yield server
    server.kill()


def command_with(runs: Path, server: Server, environment: Mapping[str, str]) -> Command:
    storage = {"REPRTUNE_STORAGE": f"sqlite:///{runs}/elsewhere/optuna.db"}
    return Command(runs, {"MLFLOW_TRACKING_URI": server.uri, **NO_RETRY, **storage, **environment})


@pytest.mark.parametrize(
    ("login", "who"),
    [({}, "anybody without a name"), ({**LOGIN, "MLFLOW_TRACKING_PASSWORD": "wrong"}, "the user 'admin'")],
)
def test_without_the_right_password_one_clear_line_and_nothing_is_made(
    server: Server, tmp_path: Path, login: dict[str, str], who: str
) -> None:
    """Before anything is stored; the hint names the variables."""
    command = command_with(tmp_path / "runs", server, login)
    said = command.quick("study", "create", TINY, code=1).stderr
    errors = [line for line in said.splitlines() if line.startswith("Error")]
    assert errors == [f"Error: The MLflow server {server.uri} does not let {who} in (401)."]
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said and "pass phrase" not in said
    assert not (tmp_path / "runs" / "elsewhere").exists()


@pytest.mark.slow
def test_every_command_is_told_by_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server, login, experiment, storage: from create to delete, and what each command did is where it belongs.

    The experiment's name counts at create alone: a run with another one in its environment goes where the
    study is.
    """
    command = command_with(tmp_path / "runs", server, {**LOGIN, "MLFLOW_EXPERIMENT_NAME": "Group work"})
    assert "experiment 'Group work'" in command.quick("study", "create", TINY).stdout
    elsewhere = command_with(tmp_path / "runs", server, {**LOGIN, "MLFLOW_EXPERIMENT_NAME": "Other"})
    elsewhere("study", "run", "tiny", "--trials", "1")
    elsewhere.quick("study", "sync", "tiny")
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    client = connect(server.uri)
    assert client.get_experiment_by_name("Other") is None
    experiment = client.get_experiment_by_name("Group work")
    assert "mlflow.note.content" not in experiment.tags  # it is not the study's own
    runs = {r.data.tags["reprtune.role"]: r for r in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"study", "search"} or runs.keys() == {"study", "control"}
    for words in (("status", "tiny"), ("list",), ("show", "tiny"), ("report", "tiny")):
        assert "tiny" in elsewhere.quick("study", *words).stdout
    said = elsewhere.quick("study", "show", "tiny").stdout
    assert "Group work" in said
    assert "tiny" in elsewhere.quick("study", "delete", "tiny", "--with-mlflow", "--yes").stdout
    assert client.search_runs([experiment.experiment_id]) == []
    assert elsewhere.quick("study", "list", "--json").stdout.strip() == "[]"


@pytest.mark.slow
def test_every_run_has_its_data_its_machine_and_its_metrics(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read, with what it was made and where, on the study's run and on each trial's."""
    command = command_with(tmp_path / "runs", server, LOGIN)
    command.quick("study", "create", TINY)
    command("study", "run", "tiny", "--trials", "1")
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    client = connect(server.uri)
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    (study,) = [r for r in runs if r.data.tags["reprtune.role"] == "study"]
    (trial,) = [r for r in runs if r.data.tags["reprtune.role"] != "study"]
    parts = {}
    for run in (study, trial):
        found = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
        parts[run.info.run_id] = {part: json.loads(d.profile)["num_rows"] for part, d in found.items()}
        assert {d.name for d in found.values()} == {"digits"}
        assert json.loads(found["train"].source)["train_images"] == 128
        tensor = json.loads(json.loads(found["train"].schema)["mlflow_tensorspec"]["features"])
        assert tensor[0]["tensor-spec"]["shape"] == [-1, 1, 8, 8]
    assert parts[study.info.run_id].keys() == {"train", "score", "val", "test"}
    assert parts[trial.info.run_id].keys() == {"train", "score", "val"}  # nobody has looked at the test part
    assert parts[study.info.run_id]["train"] == 128
    for run in (study, trial):
        tags = run.data.tags
        assert all(
            tags[f"reprtune.{name}"] for name in ("host", "python", "os", "cpu", "git_sha", "git_dirty")
        )
        assert tags["mlflow.source.git.commit"] == tags["reprtune.git_sha"]
    packages = Path(client.download_artifacts(study.info.run_id, "environment.txt")).read_text()
    assert "\ntorch==" in packages and "\nmlflow==" in packages
    assert "environment.txt" not in {a.path for a in client.list_artifacts(trial.info.run_id)}
    assert {a.path for a in client.list_artifacts(trial.info.run_id, "network")} >= {"network/MLmodel"}
    command.quick("study", "delete", "tiny", "--yes")
    assert len(client.search_runs([experiment.experiment_id])) == 2  # MLflow's runs stay
