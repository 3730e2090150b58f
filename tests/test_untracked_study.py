"""A study with `--tracking-uri none`: the whole way, without MLflow."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from reprtune.tracking.tracker import OFF
from tests.command import TINY, Command, used_up


@pytest.mark.slow  # nine processes; a worker's is in work/test_light_worker.py
def test_a_study_needs_no_tracker(tmp_path: Path) -> None:
    """Created, run, confirmed, reported and deleted with an mlflow that breaks whoever imports it; no database, no
    journal; status, sync and doctor say in one sentence that tracking is off."""
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "mlflow.py").write_text("raise SystemError('mlflow was imported')")
    runs = tmp_path / "runs"
    environment = {
        "MLFLOW_TRACKING_URI": "none", "PYTHONPATH": str(stub), "REPRTUNE_DEVICE": "cpu",
        "REPRTUNE_HEARTBEAT_SECONDS": "1", "REPRTUNE_GRACE_SECONDS": "15",
    }  # fmt: skip
    with closing(Command(runs, environment)) as command:
        created = command("study", "create", TINY, "--set", "slots=2", "--set", "controls.seeds=[0]")
        assert OFF in created.stdout
        command("study", "run", "tiny")
        assert used_up(command.trials("tiny")) == [0, 1]
        assert OFF in command("study", "status", "tiny").stdout
        assert command("study", "sync", "tiny").stdout == f"{OFF}\n"
        command("study", "confirm", "tiny", "--top", "1", "--seeds", "1")
        report = Path(command("study", "report", "tiny").stdout.strip())
        assert "mlflow" not in report.read_text(encoding="utf-8").lower().partition("<script>")[0]
        assert OFF in command("doctor").stdout
        deleted = command("study", "delete", "tiny", "--with-mlflow", "--yes")
        assert OFF in deleted.stderr and deleted.stdout.startswith("Removed tiny and its ")
    assert not [path.name for path in runs.iterdir() if path.name in ("journal", "mlflow.db", ".mlflow.lock")]
