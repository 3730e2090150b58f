"""Vanished workers, noticed on a clock: by a thread of every worker, whatever it trains itself."""

from __future__ import annotations

import contextlib
import threading
from functools import partial

from optuna.storages import RDBStorage

from reprtune.errors import StudyError
from reprtune.record.database import retried
from reprtune.record.view import StudyView
from reprtune.states.store import StateStore
from reprtune.study.queueing import refill
from reprtune.work.queue import Queue, queues

REAP_BEATS = 4  # heartbeats between two looks


class Reaper:
    """Looks for vanished workers, queues their slots again and frees what they had claimed, every so many seconds.

    Any number may do so at once: each step of it happens once, whoever is first.

    Args:
        name: of the study. store: of the states that workers claim.
    """

    def __init__(self, storage: RDBStorage, name: str, store: StateStore, seconds: float = 0.0) -> None:
        self._view, self._store, self._seconds = StudyView(storage, name), store, seconds
        self._queues: list[Queue] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="reaper")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Without waiting for a look that others hold up."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def look(self) -> None:
        """A trial in the record that cannot be read stops nobody who trains others: whoever started the workers looks
        too, and says so."""
        study = retried(self._view.header)
        self._queues = queues(self._view, study, known=self._queues)
        for queue in self._queues:
            for worker in retried(queue.reap):
                self._store.release(worker)
        with contextlib.suppress(StudyError):
            retried(partial(refill, self._view))

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            with contextlib.suppress(Exception):  # the database is away; the next look tries again
                self.look()
