"""Who is there is known from the record, also between two trials; who stands still is told from who goes on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import pytest

from reprtune.errors import StorageError
from reprtune.record.database import open_storage
from reprtune.record.storage import read_study
from reprtune.record.workers import FORGOTTEN_SECONDS, present, read_workers, write_worker
from reprtune.training.platform.device import Device
from reprtune.work.device_use import DeviceUse
from reprtune.work.lease import Lease
from reprtune.work.presence import Presence
from tests.postgres import PostgreSQL
from tests.stored import new_study
from tests.work.queueing import search_queue, take
from tests.work.tiny_worker import create, make_worker


def test_a_worker_is_in_the_record_from_its_first_moment_until_it_leaves(tmp_path: Path) -> None:
    """By host and process number, with its device; when it has left, nothing of it stays."""
    settings = create(tmp_path, slots=1, controls=())
    storage = open_storage(settings.storage_url)
    seen: list[dict[str, Any]] = []
    make_worker(settings, heard=lambda _: seen.append(read_workers(storage, "tiny"))).run()
    worker = f"{platform.node()}:{os.getpid()}:0"
    assert seen and all(list(found) == [worker] for found in seen)
    fact = seen[0][worker]
    assert (fact["host"], fact["device"]) == (platform.node(), "cpu") and abs(
        fact["time"] - time.time()
    ) < 300
    assert read_workers(storage, "tiny") == {} == dict(read_study(storage, "tiny").workers)


def test_each_beat_says_what_is_used_of_the_device(tmp_path: Path) -> None:
    """On a CPU the share of a core since the beat before: of a process that only computes most of one, of one that
    sleeps nearly nothing, by the clock of the operating system."""
    storage, _ = new_study(tmp_path / "x.db")
    presence = Presence(storage, "tiny", "new", "cpu", DeviceUse(Device("cpu")))

    def said(busy: bool) -> tuple[float, float]:
        presence.beat()
        wall, cpu = time.monotonic(), time.process_time()
        while time.monotonic() - wall < 0.3:
            sum(range(1000)) if busy else time.sleep(0.05)
        presence.beat()
        share = (time.process_time() - cpu) / (time.monotonic() - wall)
        return float(read_workers(storage, "tiny")["new"]["use"]["cpu"]), share

    for busy in (True, False):
        found, share = said(busy)
        assert found == pytest.approx(share, abs=0.2)
    presence.close()


def test_of_a_gpu_its_memory_and_its_time_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as anybody knows them: a driver that says nothing leaves out what it would say, and stops no beat."""
    monkeypatch.setattr("reprtune.work.device_use.held_share", lambda _device: 0.25)
    monkeypatch.setattr("reprtune.work.gpus.visible", lambda: ["first", "second"])
    known = {"first": {"utilization_percentage": 10.0}, "second": {"utilization_percentage": 90.0}}
    monkeypatch.setattr("reprtune.work.gpus.values", known.__getitem__)
    used = DeviceUse(Device("cuda:1"))()
    assert (used["memory"], used["gpu"]) == (0.25, 0.9) and set(used) == {"cpu", "memory", "gpu"}
    monkeypatch.setattr("reprtune.work.gpus.visible", list)
    assert set(DeviceUse(Device("cuda:1"))()) == {"cpu", "memory"}


def test_a_killed_worker_is_present_no_more_and_forgotten_after_a_day(tmp_path: Path) -> None:
    """When another one begins; a younger one stays, and what is no such fact is passed over."""
    storage, _ = new_study(tmp_path / "x.db")
    now = time.time()
    fact = {"host": "h", "device": "cpu", "since": 0.0}
    write_worker(storage, "tiny", "old", {**fact, "time": now - FORGOTTEN_SECONDS - 60})
    write_worker(storage, "tiny", "killed", {**fact, "time": now - 600})
    write_worker(storage, "tiny", "odd", {"time": "soon"})
    presence = Presence(storage, "tiny", "new", "cpu")
    workers = read_workers(storage, "tiny")
    assert set(workers) == {"killed", "new"} and present(workers, now) == ["new"]
    presence.close()
    assert set(read_workers(storage, "tiny")) == {"killed"}


def test_a_beat_without_progress_keeps_the_time_of_the_last_step(tmp_path: Path) -> None:
    """The same step an hour later has moved an hour ago; another step, or the next seed's same one, now."""
    queue = search_queue(tmp_path / "x.db")
    trial = take(queue)
    lease = Lease(queue.storage, trial._trial_id, lambda: False)

    def moved(seed: int, step: int, at: float) -> float:
        lease.beat({"seed": seed, "step": step, "total": 8, "steps": step, "seconds": 1.0, "time": at})
        return float(queue.storage.get_trial(trial._trial_id).user_attrs["progress"]["moved"])

    assert [moved(0, 4, 1000.0), moved(0, 4, 4600.0), moved(0, 5, 4601.0), moved(1, 5, 4602.0)] == [
        1000.0, 1000.0, 4601.0, 4602.0,
    ]  # fmt: skip


def test_an_sqlite_file_is_for_one_machine(tmp_path: Path) -> None:
    """A worker does not begin beside one of another machine; after that has fallen silent it does."""
    storage, _ = new_study(tmp_path / "x.db")
    fact = {"host": "elsewhere", "device": "cpu", "since": 0.0}
    write_worker(storage, "tiny", "elsewhere:1:0", {**fact, "time": time.time()})
    with pytest.raises(StorageError, match="elsewhere:1:0 works on this study on another machine") as raised:
        Presence(storage, "tiny", "here:1:0", "cpu")
    assert "db start" in str(raised.value.hint)
    write_worker(storage, "tiny", "elsewhere:1:0", {**fact, "time": time.time() - 60})
    Presence(storage, "tiny", "here:1:0", "cpu").close()


def test_postgresql_is_for_many(postgresql: PostgreSQL) -> None:
    """There they work beside each other."""
    storage, _ = new_study(postgresql.new())
    fact = {"host": "elsewhere", "device": "cpu", "since": 0.0, "time": time.time()}
    write_worker(storage, "tiny", "elsewhere:1:0", fact)
    Presence(storage, "tiny", "here:1:0", "cpu").close()
    assert set(read_workers(storage, "tiny")) == {"elsewhere:1:0"}
    storage.engine.dispose()
