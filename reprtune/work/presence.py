"""A worker's word that it is there, also between two trials, for people who watch from anywhere."""

from __future__ import annotations

import contextlib
import platform
import time

from optuna.storages import RDBStorage

from reprtune.record.workers import forget_old, forget_worker, write_worker


class Presence:
    """Said once when it is made, and again with every beat, until it is closed.

    Args:
        name: of the study. device: of the worker.
    """

    def __init__(self, storage: RDBStorage, name: str, worker: str, device: str) -> None:
        self._storage, self._name, self._worker = storage, name, worker
        self._fact = {"host": platform.node(), "device": device, "since": round(time.time(), 3)}
        forget_old(storage, name, time.time())
        self.beat()

    def beat(self) -> None:
        write_worker(self._storage, self._name, self._worker, {**self._fact, "time": round(time.time(), 3)})

    def close(self) -> None:
        with contextlib.suppress(Exception):  # without the database, or the study, it is forgotten in time
            forget_worker(self._storage, self._name, self._worker)
