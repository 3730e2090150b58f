"""A worker's word that it is there, also between two trials, for people who watch from anywhere."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Mapping

from optuna.storages import RDBStorage

from reprtune.errors import StorageError
from reprtune.processes import machine
from reprtune.record.workers import forget_old, forget_worker, present, read_workers, write_worker


class Presence:
    """Said once when it is made, and again with every beat, until it is closed.

    Args:
        name: of the study. device: of the worker. use: asked with every beat for its shares of that.

    Raises:
        StorageError: the database is a file, and somebody works on it on another machine.
    """

    def __init__(
        self,
        storage: RDBStorage,
        name: str,
        worker: str,
        device: str,
        use: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._storage, self._name, self._worker, self._use = storage, name, worker, use
        self._fact = {
            "host": platform.node(),
            "device": device,
            "since": round(time.time(), 3),
            "machine": machine(),
            "pid": os.getpid(),
        }
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
        now = {"time": round(time.time(), 3), "use": dict(self._use())}
        write_worker(self._storage, self._name, self._worker, {**self._fact, **now})

    def close(self) -> None:
        with contextlib.suppress(Exception):  # without the database, or the study, it is forgotten in time
            forget_worker(self._storage, self._name, self._worker)
