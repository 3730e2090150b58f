"""Two machines mend one study's runs at the same moment, in a database and on a server: each run is there once."""

from __future__ import annotations

import multiprocessing
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reprtune.record.database import open_storage
from reprtune.settings import Settings
from reprtune.tracking.mlflow.connection import connect, make_run
from reprtune.tracking.shipper import Shipper
from reprtune.work.mend_runs import mend_runs
from reprtune.work.shipping import mend_first
from tests.tracking.mlflow_server import Server
from tests.work.in_mlflow import in_mlflow
from tests.work.tiny_worker import create, read, work

ONE = {"slots": 1, "controls": ()}


@pytest.fixture(params=["sqlite", "http"])
def where(request: pytest.FixtureRequest, tmp_path: Path, empty_mlflow: Path) -> Any:
    """The settings of a study, trained to its end, of which MLflow knows nothing yet, and the states have it all."""
    runs, server = tmp_path / "runs", None
    settings = create(runs, **ONE)
    work(settings)
    shutil.rmtree(settings.journal_dir)
    shutil.copy(empty_mlflow, runs / "mlflow.db")
    if request.param == "http":
        server = Server(tmp_path)
        shutil.copy(empty_mlflow, tmp_path / "server.db")
        server.start()
        settings = Settings(runs_dir=runs, tracking_uri=server.uri, device="cpu")
    yield settings
    if server is not None:
        server.kill()


def at_once(n: int, call: Callable[[], Any]) -> None:
    """By so many processes that begin together."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(n)

    def one() -> None:
        together.wait(60)
        call()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
        processes = [context.Process(target=one) for _ in range(n)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(200)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * n


def mend(settings: Settings) -> None:
    mended = mend_runs(settings, read(settings), str)
    assert mended.error is None, mended.error


def test_each_run_is_made_once(where: Settings) -> None:
    """With every point once, as if one had done it alone; and nothing is left to mend."""
    at_once(2, partial(mend, where))
    found = in_mlflow(where)  # refuses a run that is doubled
    assert found.keys() == {"tiny", "slot 0"} and {run.status for run in found.values()} == {"FINISHED"}
    points = [point[:2] for point in found["slot 0"].points]
    assert len(points) == len(set(points)) and ("val_error", 8) in points  # 4 epochs of 2 steps
    assert {"network/weights.pt", "config.json"} <= found["slot 0"].files.keys()
    assert mend_runs(where, read(where), str).n_runs == 0


def test_of_several_that_make_one_run_each_gets_the_same(tmp_path: Path, empty_mlflow: Path) -> None:
    """Four, that have all looked before any of them made it."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    settings = Settings(runs_dir=tmp_path)
    experiment, told = connect(settings.mlflow_uri).create_experiment("s"), tmp_path / "told"

    def make() -> None:
        run = make_run(connect(settings.mlflow_uri), experiment, "d/slot", "slot")
        with told.open("a") as file:
            file.write(f"{run.info.run_id}\n")

    at_once(4, make)
    (run,) = connect(settings.mlflow_uri).search_runs([experiment])
    assert told.read_text().split() == [run.info.run_id] * 4


def test_a_launcher_begins_with_what_others_left_untold(tmp_path: Path, empty_mlflow: Path) -> None:
    """Before its workers have ended anything; then it has nothing to say. Asked to leave, it does nothing."""
    settings = create(tmp_path, **ONE)
    work(settings)
    shutil.rmtree(settings.journal_dir)
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    study, storage = read(settings), open_storage(settings.storage_url)
    shipper, said = Shipper(settings, study.spec, study.instance, facts=study.facts), list[str]()
    begin = partial(mend_first, settings, storage, "tiny", shipper, str, said.append)
    begin(lambda: True)
    assert connect(settings.mlflow_uri).get_experiment_by_name("tiny") is None and said == []
    begin(lambda: False)
    assert in_mlflow(settings)["slot 0"].status == "FINISHED"
    assert said == ["tracking: 2 runs were not in MLflow as the record says, and mended from it"]
    begin(lambda: False)
    assert len(said) == 1
    storage.engine.dispose()
