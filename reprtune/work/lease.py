"""The right to train a trial, and the beats that keep it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.record.optuna_private.trials import state_of


class Lease:
    """Whether an attempt may go on. Its run asks, and knows nothing else of it: were it the attempt itself, each
    would keep the other alive, and with them the network and the memory of its graph.

    Attributes:
        lost: set once somebody else has the slot.
    """

    def __init__(self, storage: RDBStorage, trial_id: int, leaving: Callable[[], bool]) -> None:
        self._storage, self._trial_id, self._leaving = storage, trial_id, leaving
        self.lost = False
        self._at: tuple[int, int] | None = None  # seed and step of the last beat
        self._moved = 0.0

    def must_stop(self) -> bool:
        return self.lost or self._leaving()

    def is_held(self) -> bool:
        """Does the record agree?"""
        return state_of(self._storage, self._trial_id) == TrialState.RUNNING

    def beat(self, progress: dict[str, Any] | None) -> None:
        """Say that the trial's worker lives, and how far it is; or notice that the trial has ended."""
        if state_of(self._storage, self._trial_id).is_finished():
            self.lost = True
            return
        self._storage.record_heartbeat(self._trial_id)
        if progress is not None:
            if (at := (progress["seed"], progress["step"])) != self._at:
                self._at, self._moved = at, progress["time"]
            self._storage.set_trial_user_attr(self._trial_id, "progress", {**progress, "moved": self._moved})


@contextlib.contextmanager
def beating(storage: RDBStorage, trial_id: int, seconds: float) -> Iterator[None]:
    """Say that the trial's worker lives, for as long as the block takes: a sampler may think for longer than a lease."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds):
            with contextlib.suppress(Exception):  # as below
                storage.record_heartbeat(trial_id)

    threading.Thread(target=beat, daemon=True, name="draw").start()
    try:
        yield
    finally:
        over.set()


class Leased(Protocol):
    """What a worker holds."""

    @property
    def lease(self) -> Lease: ...
    def progress(self) -> dict[str, Any] | None: ...


class Heartbeat:
    """Beats for what a worker holds, and notices when a trial was given to somebody else.

    Args:
        also: called with each beat, with something held or not.
    """

    def __init__(
        self, held: Sequence[Leased], seconds: float, also: Callable[[], None] = lambda: None
    ) -> None:
        self.held, self.seconds, self.also = held, seconds, also
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            self._beat()

    def _beat(self) -> None:
        """Of what is held, nothing stays in this thread, not even while the database is slow."""
        for lease, progress in [(one.lease, one.progress()) for one in list(self.held)]:
            with contextlib.suppress(Exception):  # the database is away; the next beat tries again
                lease.beat(progress)
        with contextlib.suppress(Exception):
            self.also()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
