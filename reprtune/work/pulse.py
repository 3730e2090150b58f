"""A sign from a worker to its launcher that Python runs in it at all. Where native code keeps Python's lock, none of its
threads does, its watchdog neither: then the launcher alone can end it."""

from __future__ import annotations

import time
from multiprocessing.context import BaseContext

import psutil

# That one look counts for: the launcher may have been stopped, or have waited for a database.
MOST_SECONDS = 2.0
STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class Pulse:
    """Shared by a worker, which beats, and its launcher. No lock is needed, which who is killed would keep."""

    def __init__(self, context: BaseContext) -> None:
        self._count = context.RawValue("Q", 0)

    def beat(self) -> None:
        """From one thread."""
        self._count.value += 1

    def rest(self) -> None:
        """From now on nobody is to listen."""
        self._count.value = 0

    @property
    def count(self) -> int:
        """Another one after each beat; 0 before the first, and at rest."""
        return int(self._count.value)


class Listener:
    """How long the pulse of a worker has been away, as far as its launcher was awake, and the worker not stopped."""

    def __init__(self, pulse: Pulse, pid: int) -> None:
        self._pulse, self._pid = pulse, pid
        self._heard, self._looked, self._away = 0, time.monotonic(), 0.0

    def seconds_away(self) -> float:
        now, count = time.monotonic(), self._pulse.count
        self._away += min(now - self._looked, MOST_SECONDS)
        if count == 0 or count != self._heard or (self._away > MOST_SECONDS and self._is_stopped()):
            self._away = 0.0
        self._heard, self._looked = count, now
        return self._away

    def _is_stopped(self) -> bool:
        try:
            return psutil.Process(self._pid).status() in STOPPED
        except psutil.Error:
            return True  # it has ended
