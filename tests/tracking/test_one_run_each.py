"""Machines that send the first of a run at the same moment make one run of it."""

from __future__ import annotations

import threading
from typing import Any

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from reprtune.settings import Settings
from reprtune.tracking.mlflow.connection import connect, make_run


def test_machines_that_find_no_run_at_the_same_moment_keep_one(settings: Settings, monkeypatch: Any) -> None:
    """MLflow holds any number of runs of one identity. Each of three finds none and makes its own; then all know the
    same one, and the others are deleted."""
    client, found = connect(settings.mlflow_uri), list[str]()
    experiment = client.create_experiment("s")
    together, make = threading.Barrier(3), MlflowClient.create_run

    def at_once(self: MlflowClient, *args: Any, **options: Any) -> Any:
        made = make(self, *args, **options)
        together.wait(60)
        return made

    monkeypatch.setattr(MlflowClient, "create_run", at_once)
    threads = [
        threading.Thread(
            target=lambda: found.append(make_run(client, experiment, "d/slot", "slot").info.run_id)
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (run,) = client.search_runs([experiment])
    assert found == [run.info.run_id] * 3
    assert len(client.search_runs([experiment], run_view_type=ViewType.ALL)) == 3
