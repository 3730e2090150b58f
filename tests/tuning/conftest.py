"""Fixtures of the tests that meet MLflow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprtune.settings import Settings
from reprtune.tuning.slots import Queue
from reprtune.tuning.tracking import ENVIRONMENT, connect
from tests.tuning.queueing import search_queue


@pytest.fixture(autouse=True)
def _tracking_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `connect` leaves in the environment does not outlive the test."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its schema and nothing else; making one takes a second."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def settings(tmp_path: Path, empty_mlflow: Path) -> Settings:
    """A runs folder of its own, with an MLflow database."""
    settings = Settings(runs_dir=tmp_path / "runs")
    settings.runs_dir.mkdir()
    shutil.copy(empty_mlflow, settings.runs_dir / "mlflow.db")
    return settings


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """The search of the tiny study, 4 slots."""
    return search_queue(tmp_path / "x.db")


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with nothing to take waits for the grace period; here that is short."""
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", "3")
