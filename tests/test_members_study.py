"""A study that chooses whole methods, one of two networks: a worker is killed, and it ends with exactly its slots."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dashboards.report import report_files
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.slots import slot_key
from reprtune.record.storage import read_study
from reprtune.states.store import StateStore
from reprtune.study.export import slot_network
from reprtune.tracking.journal import Journal
from reprtune.training.export.network import files
from tests.command import Command
from tests.flat import flat
from tests.members_study import METHODS, STUDY
from tests.work.tiny_worker import create, work

FIELDS = {
    name: value
    for name, value in flat(STUDY).items()
    if name in ("base", "space", "slots", "controls", "control_seeds", "stop", "objectives")
}
OWN = {
    "standard": set(),
    "repr": {"prune_ratio", "s1_epochs", "s2_epochs", "cycles"},
    "averaging": {"period_epochs"},
}
CELLS = [(arm, seed) for arm in ("standard", "averaging", "ensemble") for seed in (0, 1)]


def assert_each_slot_once(record: StudyRecord) -> None:
    """The budget and no more, every method with its own options only."""
    used = [t for t in record.trials if t.outcome == "complete"]
    assert sorted(t.slot for t in used) == list(range(STUDY.slots))
    for trial in used:
        assert trial.params.keys() == {"method", *OWN[trial.params["method"]]}
    cells = [(str(t.arm), t.seed) for t in record.controls if t.outcome == "complete"]
    assert sorted(cells) == sorted(CELLS)


def assert_networks(trials: Iterable[TrialRecord]) -> None:
    """Of averaging: two, equal after each exchange, twice the steps; of the others what they are alone."""
    for trial in trials:
        history, kind = trial.history, trial.params.get("method", trial.arm)
        assert history is not None and history.points[-1].step == history.total_steps
        assert history.n_members == (2 if kind in ("averaging", "ensemble") else 1)
        assert trial.result["steps_alone"] == history.n_members * history.total_steps
        assert bool(history.exchanges) == (kind == "averaging")
        for told in history.exchanges:
            assert len(set(told.after)) == 1


def factors(folder: Path) -> dict[str, str]:
    with (folder / "controls.csv").open() as file:
        return {row["arm"]: row["budget_factor"] for row in csv.DictReader(file)}


def test_one_search_chooses_among_methods_of_one_and_two_networks(tmp_path: Path) -> None:
    """In this process: slots, networks, journals, exports and the report."""
    settings = create(tmp_path, **FIELDS)
    record = work(settings)
    assert_each_slot_once(record)
    assert {t.params["method"] for t in record.trials} >= {"averaging"}
    assert_networks([*record.final(), *record.controls])
    assert_report(report_files(record, 0.0), tmp_path / "report")
    exported = files(slot_network(settings, record, "averaging-s1"))
    assert {"description.json", "member-0/weights.pt", "member-1/weights.pt"} <= exported.keys()
    assert json.loads(exported["member-1/description.json"])["val_error"] == next(
        t.history.member_errors[-1][1]
        for t in record.controls
        if (t.arm, t.seed) == ("averaging", 1) and t.history
    )
    for trial in record.controls:
        expected = trial.arm != "standard"
        events = [event for _, event in Journal(settings.journal_dir, record.spec.name).read(slot_key(trial))]
        metrics = [m for event in events if event["event"] == "metrics" for m in event["metrics"]]
        keys = {m["key"] for m in metrics}
        assert ({"member_error.0", "member_error.1", "ensemble_error"} <= keys) == expected
        steps = [m["step"] for m in metrics if m["key"] == "val_error"]
        assert [m["step"] for m in metrics if m["key"] == "member_error.1"] == (steps if expected else [])


def assert_report(content: dict[str, bytes], folder: Path) -> None:
    folder.mkdir()
    (folder / "controls.csv").write_bytes(content["controls.csv"])
    assert {arm: float(x) for arm, x in factors(folder).items()} == {
        "standard": 1,
        "averaging": 2,
        "ensemble": 2,
    }
    assert b"budget factor" in content["report.html"]


@pytest.mark.slow
def test_a_killed_worker_costs_no_slot(command: Command) -> None:
    """Two workers; the one that trains two networks is killed in the middle, then the command is stopped; the
    same command goes on to exactly the slots, and the report is made."""
    command("study", "create", "tests/members_study.py", "--set", "base.training.total=60ep")
    process = command.start("study", "run", STUDY.name, "--workers", "2")
    trial = wait_for_averaging(command, process)
    os.kill(int(trial.lease["worker"].split(":")[1]), signal.SIGKILL)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert not all(t.outcome == "complete" for t in read(command).controls)
    command("study", "resume", STUDY.name, "--workers", "2")
    record = read(command)
    assert_each_slot_once(record)
    assert any(t.outcome == "lost" for t in (*record.trials, *record.controls))
    assert_networks([t for t in (*record.trials, *record.controls) if t.outcome == "complete"])
    folder = command.runs / "reports" / STUDY.name
    command("study", "report", STUDY.name)
    assert {arm: float(x) for arm, x in factors(folder).items()}["averaging"] == 2
    store = StateStore(command.settings.states)
    assert all(store.has(t.result["state"]) for t in record.controls if t.outcome == "complete")
    slot = next(
        t.slot for t in record.trials if t.params.get("method") == "averaging" and t.outcome == "complete"
    )
    assert command("trial", "run", STUDY.name, str(slot)).stdout.count("NOT equal") == 0


def read(command: Command) -> StudyRecord:
    storage = open_storage(command.settings.storage_url)
    try:
        return read_study(storage, STUDY.name, histories=True)
    finally:
        storage.engine.dispose()


def wait_for_averaging(command: Command, process: Any) -> TrialRecord:
    """A running trial of two networks that has been evaluated and is not yet through."""
    for _ in range(600):
        assert process.poll() is None
        for trial in read(command).controls:
            if trial.arm == "averaging" and trial.outcome == "running" and trial.lease.get("worker"):
                return trial
        time.sleep(0.1)
    raise AssertionError("no trial of averaging was seen to run")


def test_the_methods_of_the_study_are_what_it_says() -> None:
    """One of them trains two networks."""
    assert set(METHODS) == OWN.keys()
