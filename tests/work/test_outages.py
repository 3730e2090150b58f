from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reprtune.settings import Settings
from reprtune.tracking import shipper as shipping
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, find_run, prepare
from reprtune.tracking.shipper import Shipper
from tests.tracking.mlflow_server import Server, free_port
from tests.tracking.tracked import CURVES, DIGEST, STUDY, look, write


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_killed_while_a_study_runs_misses_and_doubles_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer and a shipper at work; kill -9 in the middle of sending, the study goes on, the server returns.

    At the end every slot is one nested run, finished, with every point once, and people were told twice.
    """
    monkeypatch.setattr(shipping, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(shipping, "LONGEST_PAUSE_SECONDS", 0.2)
    settings = Settings(runs_dir=tmp_path, tracking_uri=server.uri)
    experiment_id = prepare(settings, STUDY, DIGEST)["id"]
    journal, said, stop = Journal(settings.journal_dir, STUDY.name), [], threading.Event()
    shipper = Shipper(settings, STUDY, DIGEST, said.append)
    thread = threading.Thread(target=shipper.run_until, args=(stop,))
    thread.start()
    for slot in range(12):
        write(journal, f"search-{slot:03d}", range(1, 31))
        journal.artifact(f"search-{slot:03d}", "plots.html", f"<html>{slot}</html>")
        if slot == 5:
            wait_for(lambda: bool(list(journal.root.glob("*.shipped"))))
            server.kill()  # some slots are there, one is on its way
    wait_for(lambda: shipper.status.error is not None)
    kept = shipper.pending()
    server.start()
    wait_for(lambda: shipper.pending() == 0)
    stop.set()
    thread.join()
    assert kept >= 6 * 33  # at least what was written after the kill
    assert [sentence.partition(",")[0] for sentence in said] == [
        "MLflow tracking fails",
        "MLflow tracking works again.",
    ]
    assert server.uri in said[0]
    seen = look(settings)
    parent = find_run(connect(server.uri), experiment_id, f"{DIGEST}/study")
    assert parent is not None and seen.keys() == {"s", *(f"slot {slot:03d}" for slot in range(12))}
    for slot in range(12):
        (run,) = seen[f"slot {slot:03d}"]
        assert (run.status, run.end_ms) == ("FINISHED", 2_000_000)
        assert run.tags["mlflow.parentRunId"] == parent.info.run_id
        assert all(run.steps(curve) == list(range(1, 31)) for curve in CURVES)
        assert len(run.points) == 30 * len(CURVES) + 2
        assert run.artifacts["plots.html"] == f"<html>{slot}</html>"


def test_nobody_listening_costs_a_moment_and_loses_nothing(tmp_path: Path) -> None:
    """The default deadline: refused connections are known at once; everything is sent later elsewhere."""
    settings = Settings(runs_dir=tmp_path, tracking_uri=f"http://127.0.0.1:{free_port()}")
    write(Journal(settings.journal_dir, STUDY.name), "search-000", range(1, 4))
    began = time.monotonic()
    result = Shipper(settings, STUDY, DIGEST).ship_once()
    assert time.monotonic() - began < 8
    assert (result.sent, result.pending) == (0, 5)
    assert result.error is not None and settings.mlflow_uri in result.error


def test_silence_is_given_up_after_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers, with several slots waiting: one deadline, not one for each."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = Settings(runs_dir=tmp_path, tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        for slot in range(6):
            write(Journal(settings.journal_dir, STUDY.name), f"search-{slot:03d}", range(1, 4))
        began = time.monotonic()
        result = Shipper(settings, STUDY, DIGEST).ship_once()
        assert time.monotonic() - began < 5
    assert (result.sent, result.pending) == (0, 30)
    assert result.error is not None


def test_a_journal_that_cannot_be_read_raises_nothing(tmp_path: Path) -> None:
    """Even a broken disk is an error in the result and in the status, not in the run."""
    settings = Settings(runs_dir=tmp_path, tracking_uri="http://127.0.0.1:9")
    root = Journal(settings.journal_dir, STUDY.name).root
    (root / "search-000.jsonl").mkdir(parents=True)
    said: list[str] = []
    result = Shipper(settings, STUDY, DIGEST, said.append).ship_once()
    assert result.error is not None
    assert len(said) == 1
