"""What every test relies on: one thread, a clean environment, and a plain account of what was skipped."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from reprtune.settings import Settings
    from reprtune.work.queue import Queue
    from tests.command import Command
    from tests.postgres import PostgreSQL

ROOT = Path(__file__).resolve().parents[1]

# Read by torch and BLAS when first imported: tests run beside each other, and sums must not depend on cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, and no deadline: a busy machine is not a defect.
hypothesis_settings.register_profile("reprtune", derandomize=True, deadline=None, max_examples=50)
hypothesis_settings.load_profile("reprtune")


@pytest.fixture(autouse=True, scope="session")
def _few_halves() -> Iterator[None]:
    """Reports in tests take their importances' ranges from few halves of the trials: seconds each, else."""
    from reprtune.analysis import chance, ranges

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "N_HALVES", {"ped-anova": 8, "fanova": 3})
        patch.setattr(chance, "N_EXCHANGES", {"ped-anova": 40, "fanova": 4})
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches a person's own runs, storage or tracking server."""
    for name in (
        "RUNS",
        "STORAGE",
        "DATA",
        "STATES",
        "DEVICE",
        "DETERMINISTIC",
        "GRAPH",
        "HEARTBEAT_SECONDS",
        "GRACE_SECONDS",
        "HANG_SECONDS",
        "RESIDENT_BYTES",
        "LOADERS",
    ):
        monkeypatch.delenv(f"REPRTUNE_{name}", raising=False)
    for name in [name for name in os.environ if name.startswith(("MLFLOW_TRACKING_", "MLFLOW_EXPERIMENT_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _tracking_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a connection to MLflow leaves in the environment does not outlive the test."""
    for name in list(os.environ):
        if name.startswith("MLFLOW_") or name == "DO_NOT_TRACK":
            monkeypatch.delenv(name)
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its schema and nothing else; making one takes a second."""
    from reprtune.tracking.mlflow.connection import connect

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def settings(tmp_path: Path, empty_mlflow: Path) -> Settings:
    """A runs folder of its own, with an MLflow database."""
    from reprtune.settings import Settings

    settings = Settings(runs_dir=tmp_path / "runs")
    settings.runs_dir.mkdir()
    shutil.copy(empty_mlflow, settings.runs_dir / "mlflow.db")
    return settings


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """The search of the tiny study, 4 slots."""
    from tests.work.queueing import search_queue

    return search_queue(tmp_path / "x.db")


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with nothing to take waits for the grace period; here that is short."""
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", "3")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("REPRTUNE_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no folder of real data sets: set REPRTUNE_SHARED_DATA")
    return folder


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command line with an empty runs folder."""
    from tests.command import Command

    with contextlib.closing(Command(tmp_path / "runs")) as command:
        yield command


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command line with a runs folder in which the study repr-smoke was created and run by two workers: once for
    all processes of a test run, each of which has a copy."""
    from filelock import FileLock

    from tests.command import Command

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished-for-all"
    with FileLock(f"{shared}.lock"):
        if not (shared / "said").exists():
            made = Command(shared / "runs")
            said = {
                "create": made("study", "create", "repr-smoke"),
                "run": made("study", "run", "repr-smoke", "--workers", "2"),
            }
            (shared / "said").write_bytes(pickle.dumps(said))
    command = Command(tmp_path_factory.mktemp("finished") / "runs")
    shutil.copytree(shared / "runs", command.runs)
    command.said.update(pickle.loads((shared / "said").read_bytes()))
    return command


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of the test run's own."""
    from tests.postgres import running_server

    with running_server() as server:
        yield server


HEAVY = (
    "work",
    "",
    "training",
    "study",
    "tracking",
)  # folders of tests, the longest first; "" is tests/ itself


def _weight(item: pytest.Item) -> int:
    folder = item.path.parent.relative_to(ROOT / "tests").as_posix().removeprefix(".")
    return HEAVY.index(folder) if folder in HEAVY else len(HEAVY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with many processes first, so that no core waits for one of them at the end. Skip what needs CUDA where
    there is none; torch is only imported when somebody asks."""
    items.sort(key=_weight)
    on_cuda = [item for item in items if item.get_closest_marker("cuda")]
    if not on_cuda:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_cuda:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests were skipped and why, in one place."""
    reasons = Counter(
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    left_out = len(terminalreporter.stats.get("deselected", []))
    terminalreporter.section("tests not run")
    terminalreporter.write_line(f"{sum(reasons.values())} skipped")
    for reason, n in reasons.most_common():
        terminalreporter.write_line(f"  {n} x {reason.removeprefix('Skipped: ')}")
    terminalreporter.write_line(
        f"{left_out} left out by the choice of markers; `make check-slow` runs the slow ones"
    )
