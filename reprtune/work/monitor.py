"""What the machine does while it trains, under the names that MLflow's page of system metrics knows.

A thread of the worker samples every few seconds and writes to the local journal of the slot that is being
trained: training never waits for it. Unlike all other metrics these stand at whole seconds since the study was
created, so that attempts on several machines do not fall on one another.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from reprtune.tracking.events import Event
from reprtune.tracking.journal import Journal
from reprtune.work import gpus

INTERVAL_SECONDS = 10.0
MB = 1e6


def system_event(values: dict[str, float], created: float, now: float) -> Event:
    """A sample as an event of the journal.

    Args:
        values: name without `system/` -> value. created, now: seconds since 1970.
    """
    step, time_ms = max(0, round(now - created)), round(1000 * now)
    return {
        "event": "metrics",
        "metrics": [
            {"key": f"system/{name}", "value": float(value), "step": step, "time_ms": time_ms}
            for name, value in values.items()
        ],
    }


class Sampler:
    """Values of this machine now; network traffic since the sampler was made.

    Args:
        folder: on the disk whose space is shown.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gpus = gpus.visible()
        psutil.cpu_percent()  # the first value has no time before it
        self._received, self._sent = _traffic()

    def __call__(self) -> dict[str, float]:
        memory, (received, sent) = psutil.virtual_memory(), _traffic()
        values = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MB,
            "system_memory_usage_percentage": 100 * memory.used / memory.total,
            "network_receive_megabytes": received - self._received,
            "network_transmit_megabytes": sent - self._sent,
        }
        with contextlib.suppress(OSError):  # the folder is gone
            disk = psutil.disk_usage(str(self._folder))
            values["disk_usage_percentage"] = disk.percent
            values["disk_usage_megabytes"] = disk.used / MB
            values["disk_available_megabytes"] = disk.free / MB
        for index, gpu in enumerate(self._gpus):
            values |= {f"gpu_{index}_{name}": value for name, value in gpus.values(gpu).items()}
        return values


class Monitor:
    """Samples until it is closed.

    Args:
        key: says which journal a sample belongs to now; None = nothing is trained.
        created: of the study, seconds since 1970.
    """

    def __init__(
        self,
        journal: Journal,
        key: Callable[[], str | None],
        created: float,
        sample: Callable[[], dict[str, float]] | None = None,
        seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._journal, self._key, self._created, self._seconds = journal, key, created, seconds
        self._sample = sample
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="system-metrics")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        sample = self._sample or Sampler(self._journal.folder)
        while not self._stop.wait(self._seconds):
            key = self._key()
            if key is None:
                continue
            with contextlib.suppress(Exception):  # a full disk, a driver that went away: training goes on
                self._journal.append(key, system_event(sample(), self._created, time.time()))


def _traffic() -> tuple[float, float]:
    """Megabytes received and sent since the machine was started; 0 where it does not count them."""
    with contextlib.suppress(Exception):
        counted = psutil.net_io_counters()
        if counted is not None:
            return counted.bytes_recv / MB, counted.bytes_sent / MB
    return 0.0, 0.0
