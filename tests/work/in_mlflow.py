"""What MLflow has of the tiny study, read by its own client, as plain values that two studies may be compared by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprtune.settings import Settings
from reprtune.tracking.mlflow.connection import connect
from tests.tiny_study import STUDY

OF_THE_RUN = ("seconds", "latency", "system/")  # begin the names of what differs from run to run
TAGS = ("outcome", "state", "attempt", "role", "arm", "slot", "study")


@dataclass(frozen=True)
class Shown:
    """A run. `points`: (key, step, value) of every stored point. `files`: path -> digest of what cannot differ."""

    status: str
    params: dict[str, str]
    tags: dict[str, str]
    points: list[tuple[str, int, float]]
    files: dict[str, str]
    times: tuple[int, int | None] = (0, None)

    def same(self) -> tuple[Any, ...]:
        """All that does not depend on when it was made."""
        return self.status, self.params, self.tags, self.points, self.files


def in_mlflow(settings: Settings) -> dict[str, Shown]:
    """Every run by its name, of which there is one; deleted ones are not there."""
    client = connect(settings.mlflow_uri)
    experiment = client.get_experiment_by_name(STUDY.name)
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    found = {str(run.info.run_name): _shown(client, run) for run in runs}
    assert len(found) == len(runs), "a run is doubled"
    return found


def _shown(client: Any, run: Any) -> Shown:
    run_id, keys = run.info.run_id, [k for k in sorted(run.data.metrics) if not k.startswith("system/")]
    history = [m for key in keys for m in client.get_metric_history(run_id, key)]
    timed = lambda key: key.removeprefix("result.").startswith(OF_THE_RUN)  # noqa: E731
    return Shown(
        run.info.status,
        dict(run.data.params),
        {k: v for k, v in run.data.tags.items() if k.removeprefix("reprtune.") in TAGS},
        sorted((m.key, m.step, 0.0 if timed(m.key) else m.value) for m in history),
        _files(client, run_id),
        (run.info.start_time, run.info.end_time),
    )


def _files(client: Any, run_id: str, folder: str | None = None) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in client.list_artifacts(run_id, folder):
        if file.is_dir:
            found |= _files(client, run_id, file.path)
        elif file.path != "environment.txt":
            exact = file.path.endswith(("weights.pt", "config.json"))
            data = Path(client.download_artifacts(run_id, file.path)).read_bytes()
            found[file.path] = hashlib.sha256(data).hexdigest() if exact else ""
    return found
