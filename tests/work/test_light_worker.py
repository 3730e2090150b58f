"""A worker writes data: it draws nothing, and needs no library that draws or tracks."""

from __future__ import annotations

import json
import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from reprtune.settings import Settings
from reprtune.work.launch import Tickets, work

NOT_NEEDED = ("plotly", "mlflow", "dashboards", "jinja2")


def _work_and_tell(settings: Settings, tickets: Tickets, pipe: Connection, told: Connection) -> None:
    work(settings, "tiny", 0, tickets, pipe)
    told.send([name for name in NOT_NEEDED if name in sys.modules])


@pytest.mark.parametrize("tracking_uri", [None, pytest.param("none", marks=pytest.mark.slow)])
def test_a_worker_process_loads_neither_plotly_nor_mlflow(tmp_path: Path, tracking_uri: str | None) -> None:
    """After it has trained: what a page is drawn from lies in the journal, and no page. Without tracking nothing does."""
    from dataclasses import replace

    from dashboards.trial_page import drawn
    from tests.work.tiny_worker import create, read

    settings = replace(create(tmp_path, slots=1, controls=()), tracking_uri=tracking_uri)
    context = multiprocessing.get_context("spawn")
    _, pipe = context.Pipe(duplex=False)
    here, told = context.Pipe(duplex=False)
    worker = context.Process(target=_work_and_tell, args=(settings, Tickets(context, None), pipe, told))
    worker.start()
    told.close()
    loaded = here.recv()
    worker.join(60)
    assert (loaded, worker.exitcode) == ([], 0)
    (trial,) = read(settings).complete()
    if tracking_uri == "none":
        assert not settings.journal_dir.exists()
        return
    kept = settings.journal_dir / "tiny" / f"search-{trial.slot:04d}"
    assert {path.name for path in kept.iterdir()} == {"network", "plots.json"}
    data = (kept / "plots.json").read_text()
    assert json.loads(data)["title"] == f"tiny: slot {trial.slot}"
    assert f"tiny: slot {trial.slot}" in drawn(data) and "Learning curve" in drawn(data)
