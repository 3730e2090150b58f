"""What the search may spend, and what it has spent: one account for each worker, in the record.

A worker adds to its own account after every segment it trains, whatever becomes of the trial: so two
workers never write the same number, what an interrupted or lost attempt has spent stays counted, and to
know the sum nobody has to read a trial. When the sum has reached the limit no trial of the search begins,
and those that run end before their next segment: more is spent by at most one segment for each of them, and
one for every worker that was killed, whose last segment nobody has written down.
"""

from __future__ import annotations

from optuna.storages import RDBStorage

from reprtune.record.storage import read_spent, write_spent
from reprtune.spec.study import StudySpec


class Budget:
    """The account of one worker. Without a limit in the specification nothing is read or written.

    Args:
        worker: its name; an account of that name that is there already (a process number used again) goes on.
    """

    def __init__(self, storage: RDBStorage, spec: StudySpec, worker: str) -> None:
        self._storage, self._spec, self._worker = storage, spec, worker
        self._own: tuple[float, float] | None = None  # seconds, GFLOPs
        self._used_up = False

    @property
    def is_limited(self) -> bool:
        return self._spec.search is not None and self._spec.search.is_limited

    def add(self, seconds: float, gflops: float) -> None:
        """Write down what was spent on a trial of the search."""
        if not self.is_limited or (seconds == 0 and gflops == 0):
            return
        if self._own is None:
            self._own = read_spent(self._storage, self._spec.name).get(self._worker, (0.0, 0.0))
        new = (self._own[0] + seconds, self._own[1] + gflops)
        write_spent(self._storage, self._spec.name, self._worker, new)
        self._own = new

    def is_used_up(self) -> bool:
        """Has the search, on all machines, spent what it may?"""
        search = self._spec.search
        if search is not None and search.is_limited and not self._used_up:
            accounts = read_spent(self._storage, self._spec.name).values()
            seconds, gflops = sum(a[0] for a in accounts), sum(a[1] for a in accounts)
            self._used_up = search.is_over_budget(seconds, gflops)
        return self._used_up
