from __future__ import annotations

import base64
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from reprtune.errors import TrackingError
from reprtune.passwords import hide
from reprtune.settings import Settings
from reprtune.tracking.mlflow.connection import ENVIRONMENT, connect, open_study, prepare
from reprtune.tracking.mlflow.saved_view import view_state
from tests.tracking.tracked import DIGEST, STUDY

# mlflow 3.17 on SQLAlchemy 2.1
ROOT = Path(__file__).resolve().parents[2]


def test_prepare_makes_schema_experiment_and_parent_run(tmp_path: Path) -> None:
    """Named like the study, artifacts inside the runs folder, everything about the study on the parent."""
    settings = Settings(runs_dir=tmp_path / "deep" / "runs")
    experiment_id = prepare(settings, STUDY, DIGEST)["id"]
    client = connect(settings.mlflow_uri)
    experiment = client.get_experiment_by_name("s")
    assert experiment.experiment_id == experiment_id
    assert experiment.artifact_location.startswith((tmp_path / "deep" / "runs").as_uri())
    (parent,) = client.search_runs([experiment_id])
    assert parent.info.run_name == "s"
    assert parent.data.params == {
        "sampler": "tpe", "slots": "32", "seed": "0", "objectives": "val_error, train_gflops",
        "stop.rule": "median", "stop.min_comparable": "5",
    }  # fmt: skip
    tags = parent.data.tags
    assert (tags["reprtune.study"], tags["reprtune.digest"], tags["reprtune.role"]) == ("s", DIGEST, "study")
    assert all(text in tags["mlflow.note.content"] for text in ("Does it help?", "If not, stop."))
    spec = Path(client.download_artifacts(parent.info.run_id, "spec.json")).read_text()
    assert json.loads(spec)["question"] == "Does it help?"


def test_the_experiment_says_its_question_and_has_a_view_of_settings_and_results(settings: Settings) -> None:
    """The view's state is what MLflow's page packs: JSON, deflated, in base64."""
    experiment = connect(settings.mlflow_uri).get_experiment(prepare(settings, STUDY, DIGEST)["id"])
    assert experiment.tags["mlflow.note.content"] == "Does it help?"
    view = json.loads(experiment.tags["mlflow.sharedViewState.reprtune"])
    assert view["name"] == "Settings and results"
    packed = view["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert state["selectedColumns"] == [
        "metrics.`val_error`", "metrics.`gflops`", "params.`cycles`", "tags.`reprtune.outcome`",
    ]  # fmt: skip
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val_error`", True)
    columns = view_state((), ("val_error", "inference_gflops"))["selectedColumns"]
    assert columns[:2] == ["metrics.`val_error`", "metrics.`result.inference_gflops`"]


def test_prepare_again_changes_nothing(settings: Settings) -> None:
    """The same experiment and one parent run; a study of another digest gets its own parent there."""
    first = open_study(settings, STUDY, DIGEST)
    assert prepare(settings, STUDY, DIGEST)["id"] == first.experiment_id
    assert len(first.client.search_runs([first.experiment_id])) == 1
    assert open_study(settings, STUDY, "another").parent_id != first.parent_id


def test_prepare_completes_what_was_interrupted(settings: Settings) -> None:
    """A parent run that was made but not described is described, not doubled."""
    client = connect(settings.mlflow_uri)
    experiment_id = client.create_experiment("s", artifact_location=settings.mlflow_artifacts)
    client.create_run(experiment_id, tags={"reprtune.identity": f"{DIGEST}/study"})
    prepare(settings, STUDY, DIGEST)
    (parent,) = client.search_runs([experiment_id])
    assert parent.data.params["slots"] == "32"


def test_a_deleted_experiment_of_that_name_is_said_to_be_one(settings: Settings) -> None:
    """MLflow keeps deleted names; the hint says how to get it back."""
    experiment_id = prepare(settings, STUDY, DIGEST)["id"]
    connect(settings.mlflow_uri).delete_experiment(experiment_id)
    with pytest.raises(TrackingError, match=r"'s'.*has been deleted") as raised:
        prepare(settings, STUDY, DIGEST)
    assert f"restore --experiment-id {experiment_id}" in str(raised.value.hint)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:9",
        "postgresql+psycopg://me:secret@127.0.0.1:9/x",
        "sqlite:////proc/nowhere/mlflow.db",
        "ftp://somewhere",
        "./mlruns",
    ],
)
def test_an_unusable_store_is_named_quickly_and_without_its_password(uri: str, tmp_path: Path) -> None:
    """Whatever is wrong with it: one error with the URI and the way out."""
    began = time.monotonic()
    with pytest.raises(TrackingError, match="cannot be used") as raised:
        prepare(Settings(runs_dir=tmp_path, tracking_uri=uri), STUDY, DIGEST)
    assert time.monotonic() - began < 20
    assert hide(uri) in raised.value.message and "secret" not in str(raised.value)
    assert "--tracking-uri" in str(raised.value.hint)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts connections and is silent; a deadline that the user has set counts."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(TrackingError, match="cannot be used"):
            prepare(Settings(runs_dir=tmp_path, tracking_uri=uri), STUDY, DIGEST)
        assert time.monotonic() - began < 8
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"


def test_a_database_that_breaks_is_told_of_by_its_error_alone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow logs each with a traceback of 200 lines, at every new try, into the words of a run that only waits."""
    client = connect(settings.mlflow_uri)
    with closing(sqlite3.connect(settings.runs_dir / "mlflow.db")) as database:
        database.execute("DROP TABLE experiments")
    with pytest.raises(Exception, match="no such table"):
        client.get_experiment_by_name("s")
    assert capsys.readouterr().err == ""


def test_the_short_deadline_and_no_telemetry_are_set_where_the_user_has_not(settings: Settings) -> None:
    """One try of 8 s; MLflow's own would be 8 tries of 120 s."""
    connect(settings.mlflow_uri)
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT
    assert ENVIRONMENT["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "8"
    assert ENVIRONMENT["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def run_in(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with the study at hand in a process of its own."""
    start = "from pathlib import Path; from reprtune.settings import Settings; from tests.tracking.tracked import *\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", start + code],
        capture_output=True, text=True, check=False, cwd=folder, env=environment,
    )  # fmt: skip


def test_prepare_is_silent_and_leaves_nothing_in_the_working_folder(tmp_path: Path) -> None:
    """No migration log, no progress, no `mlruns` folder."""
    done = run_in(
        tmp_path,
        "from reprtune.tracking.mlflow.connection import prepare\nprepare(Settings(runs_dir=Path('runs')), STUDY, DIGEST)",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_a_failing_shipper_says_one_sentence(tmp_path: Path) -> None:
    """What is said goes through `report`; neither MLflow nor urllib3 writes beside it."""
    done = run_in(
        tmp_path,
        "from reprtune.tracking.shipper import Shipper\n"
        "settings = Settings(runs_dir=Path('runs'), tracking_uri='http://127.0.0.1:9')\n"
        "write(Journal(settings.journal_dir, STUDY.name), 'search-000', range(1, 3))\n"
        "shipper = Shipper(settings, STUDY, DIGEST, print)\n"
        "[shipper.ship_once() for _ in range(3)]",
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert "127.0.0.1:9" in line and "4 events" in line
