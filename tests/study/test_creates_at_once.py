"""Several processes create one new study at the same moment, where there is nothing yet."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.settings import Settings
from reprtune.study import create as creating
from reprtune.tracking.mlflow.connection import connect
from tests.study.two_databases import where  # noqa: F401 - a fixture
from tests.tiny_study import STUDY

N = 3


def create(settings: Settings, together: Any) -> None:
    together.wait(60)
    made, _ = creating.create_study(STUDY, settings)
    os._exit(10 if made else 11)


def test_one_makes_it_and_the_others_find_it(
    where: str | Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the storage and in MLflow, both empty: no error, one study, one run of it."""
    import mlflow.tracking  # noqa: F401 - once, for all who are forked

    monkeypatch.setattr(creating, "dry_run", lambda *_: None)
    url = where if isinstance(where, str) else f"sqlite:///{where}"
    settings = Settings(runs_dir=tmp_path / "runs", storage=url, device="cpu")
    context = multiprocessing.get_context("fork")
    together = context.Barrier(N)
    processes = [context.Process(target=create, args=(settings, together)) for _ in range(N)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
        for process in processes:
            process.start()
    for process in processes:
        process.join(200)
        process.kill()
    assert sorted(process.exitcode or 0 for process in processes) == [10, 11, 11]
    storage = open_storage(url)
    study = stored.read_study(storage, "tiny")
    storage.engine.dispose()
    assert len(study.trials) == 4 and len(study.controls) == 4
    client = connect(settings.mlflow_uri)
    experiment = client.get_experiment_by_name("tiny")
    assert len(client.search_runs([experiment.experiment_id])) == 1
