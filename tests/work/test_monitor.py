"""System metrics: MLflow's names, a modest rate, and never in the way."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from reprtune.tracking.journal import Journal
from reprtune.work import monitor as monitoring
from reprtune.work.monitor import Monitor, Sampler, system_event

MLFLOW = {  # by hand, from mlflow/system_metrics/metrics/*_monitor.py of MLflow 3.17
    "cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage",
    "network_receive_megabytes", "network_transmit_megabytes", "disk_usage_percentage", "disk_usage_megabytes",
    "disk_available_megabytes",
}  # fmt: skip
MLFLOW_GPU = {
    "gpu_0_memory_usage_percentage", "gpu_0_memory_usage_megabytes", "gpu_0_utilization_percentage",
    "gpu_0_power_usage_watts", "gpu_0_power_usage_percentage",
}  # fmt: skip


def test_names_are_those_of_mlflow(tmp_path: Path) -> None:
    """Its page shows no others under System metrics."""
    values = Sampler(tmp_path)()
    gpus = {re.sub(r"\d+", "0", name, count=1) for name in values.keys() - MLFLOW}
    assert values.keys() >= MLFLOW and gpus <= MLFLOW_GPU
    assert all(0 <= values[name] <= 100 for name in MLFLOW if name.endswith("percentage"))


def test_a_sample_stands_at_the_seconds_since_the_study_was_made() -> None:
    """So that attempts on other machines do not fall on one another's steps."""
    event = system_event({"cpu_utilization_percentage": 12.5}, created=1000.0, now=1042.4)
    assert event == {
        "event": "metrics",
        "metrics": [
            {"key": "system/cpu_utilization_percentage", "value": 12.5, "step": 42, "time_ms": 1_042_400}
        ],
    }


def until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_samples_go_to_what_is_trained_at_the_moment(tmp_path: Path) -> None:
    """To one slot's journal, then to another's, and to none while nothing is trained."""
    journal, now = Journal(tmp_path, "s"), {"key": "a"}
    monitor = Monitor(journal, lambda: now["key"] or None, 0.0, lambda: {"x": 1.0}, seconds=0.01)
    until(lambda: journal.read("a"))
    now["key"] = ""
    time.sleep(0.05)
    n = len(journal.read("a"))
    time.sleep(0.05)
    assert len(journal.read("a")) == n
    now["key"] = "b"
    until(lambda: journal.read("b"))
    monitor.close()
    assert journal.slots() == ["a", "b"] and len(journal.read("a")) == n


def test_what_goes_wrong_with_a_sample_stays_in_its_thread(tmp_path: Path) -> None:
    """A driver that goes away, a full disk: the next sample is tried, nothing is raised."""
    journal, tries = Journal(tmp_path, "s"), []

    def sample() -> dict[str, float]:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("gone")
        return {"x": 1.0}

    monitor = Monitor(journal, lambda: "a", 0.0, sample, seconds=0.01)
    until(lambda: journal.read("a"))
    monitor.close()
    assert len(tries) >= 3


def test_the_rate_is_modest() -> None:
    """Ten seconds between samples, as MLflow's own."""
    assert monitoring.INTERVAL_SECONDS == 10.0
