"""MLflow's own page at the addresses we give, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprtune.record.links import run_url
from reprtune.settings import Settings
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, find_run, prepare
from reprtune.tracking.shipper import Shipper
from reprtune.work.monitor import system_event
from tests.browser import needs_browser, running_browser, until
from tests.tracking.mlflow_server import Server
from tests.tracking.tracked import STUDY, begin

DIGEST = "0123abcd@1700000000.125"  # of the form that stored studies have
FACTS = {
    "data_digest": "d" * 64, "n_train": 100, "n_score": 5, "n_val": 20, "n_test": 30, "n_classes": 10,
    "input_shape": [1, 8, 8],
}  # fmt: skip

pytestmark = [pytest.mark.slow, needs_browser]


def test_an_address_lists_its_one_run_and_the_run_shows_data_and_machine(tmp_path: Path) -> None:
    """Of twelve slots just the one; its page has the data sets, and its system metrics in their own tab."""
    server = Server(tmp_path)
    server.start()
    settings = Settings(runs_dir=tmp_path / "runs", tracking_uri=server.uri)
    experiment = prepare(settings, STUDY, DIGEST, FACTS)
    journal = Journal(settings.journal_dir, "s")
    for slot in range(12):
        key = f"search-{slot:03d}"
        journal.append(key, {**begin(key), "identity": f"{DIGEST}/{key}"})
        journal.append(key, system_event({"cpu_utilization_percentage": 42.0}, 0.0, 30.0))
    assert Shipper(settings, STUDY, DIGEST, facts=FACTS).sync().error is None
    run = find_run(connect(server.uri), experiment["id"], f"{DIGEST}/search-007")
    assert run is not None
    try:
        with running_browser(tmp_path / "profile") as browser:

            def text() -> str:
                return str(browser.execute_script("return document.body.innerText"))

            browser.get(run_url(server.uri, experiment["id"], f"{DIGEST}/search-007"))
            until(lambda: "slot 007" in text(), "run of slot 7")
            assert not [f"slot {n:03d}" for n in range(12) if n != 7 and f"slot {n:03d}" in text()]
            page = f"{server.uri}/#/experiments/{experiment['id']}/runs/{run.info.run_id}"
            browser.get(page)
            until(lambda: "digits" in text(), "data set of the run")
            browser.get(f"{page}/system-metrics")
            until(lambda: "cpu_utilization_percentage" in text(), "system metric")
    finally:
        server.kill()
