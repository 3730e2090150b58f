"""A worker's word that it is there, also between two trials, for people who watch from anywhere."""

from __future__ import annotations

import contextlib
import platform
import time

from optuna.storages import RDBStorage

from reprtune.errors import StorageError
from reprtune.record.workers import forget_old, forget_worker, present, read_workers, write_worker


class Presence:
    """Said once when it is made, and again with every beat, until it is closed.

    Args:
        name: of the study. device: of the worker.

    Raises:
        StorageError: the database is a file, and somebody works on it on another machine.
    """

    def __init__(self, storage: RDBStorage, name: str, worker: str, device: str) -> None:
        self._storage, self._name, self._worker = storage, name, worker
        self._fact = {"host": platform.node(), "device": device, "since": round(time.time(), 3)}
        forget_old(storage, name, time.time())
        self._check_one_machine()
        self.beat()

    def _check_one_machine(self) -> None:
        """The locks of SQLite hold within one machine; over a network file system they may not, and damage it."""
        if self._storage.engine.url.get_backend_name() != "sqlite":
            return
        workers = read_workers(self._storage, self._name)
        others = [w for w in present(workers, time.time()) if workers[w]["host"] != self._fact["host"]]
        if others:
            raise StorageError(
                f"{others[0]} works on this study on another machine, and its SQLite file is for one machine.",
                "Use PostgreSQL for several: `python cli.py db start` runs one of your own.",
            )

    def beat(self) -> None:
        write_worker(self._storage, self._name, self._worker, {**self._fact, "time": round(time.time(), 3)})

    def close(self) -> None:
        with contextlib.suppress(Exception):  # without the database, or the study, it is forgotten in time
            forget_worker(self._storage, self._name, self._worker)
