"""Workers that stood still past their lease, and go on when another has ended their slot."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from reprtune.record.trials import outcome
from reprtune.settings import Settings
from reprtune.tracking.journal import Journal
from reprtune.work.run_journal import RunJournal
from reprtune.work.seed_training import SeedTraining
from tests.work.test_mend_runs import ONE, by_journal
from tests.work.tiny_worker import create, make_worker, search_of, work

pytestmark = pytest.mark.usefixtures("short_lease")


def still(process: Any) -> bool:
    """It stands still, as the kernel says."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="no /proc to see by that a process stands still"
)
@pytest.mark.parametrize("is_sent", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("where", "name", "leaves"),
    [(RunJournal, "begin", False), (RunJournal, "write_points", False), (SeedTraining, "end_journal", True)],
)
def test_a_worker_that_comes_back_late_changes_nothing_in_mlflow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, *, leaves: bool, is_sent: bool
) -> None:
    """SIGSTOP before it has announced its slot, while it trains, and after it has handed the slot back; another ends
    the slot, in the same journal. SIGCONT: it writes on, and the run in MLflow stays as it was, whether all that was
    sent before or is sent in one."""
    create(settings.runs_dir, **ONE)
    original = getattr(where, name)

    def stop(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)
        return original(*args, **options)

    def child() -> None:
        asked: list[bool] = []
        worker = make_worker(settings, heard=lambda m: asked.append(leaves) if m.kind == "begin" else None,
                             leaving=lambda: any(asked))  # fmt: skip
        worker.run()

    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        patch.setattr(where, name, stop)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
    try:
        end = time.monotonic() + 60
        while not still(process):
            assert time.monotonic() < end and process.is_alive()
            time.sleep(0.05)
        time.sleep(0 if leaves else 4)  # past its lease
        work(settings)
        before = by_journal(settings) if is_sent else {}
        events = len(Journal(settings.journal_dir, "tiny").read("search-0000"))
        os.kill(process.pid or 0, signal.SIGCONT)
        process.join(60)
    finally:
        process.kill()
    assert process.exitcode == 0
    after = by_journal(settings)
    assert len(Journal(settings.journal_dir, "tiny").read("search-0000")) > events or name == "write_points"
    assert after["slot 0"].status == "FINISHED" and after["slot 0"].tags["reprtune.outcome"] == "complete"
    assert after["slot 0"].tags["reprtune.attempt"] == "1" and (not is_sent or before == after)
    trials = search_of(settings).trials()
    assert sorted(t.state for t in trials) == [TrialState.COMPLETE, TrialState.FAIL]
    assert {outcome(t) for t in trials} == {"complete", "interrupted" if leaves else "lost"}
