"""How many slots may still be begun in a run, counted over the workers of one machine."""

from __future__ import annotations

from multiprocessing.context import BaseContext

MOST = 2**31 - 1  # what a semaphore can hold


class Tickets:
    """So many slots may be begun; None = no limit.

    In a semaphore that is never waited for: with a lock, a worker that is killed or stopped while it holds it would
    stop all others and the launcher.
    """

    def __init__(self, context: BaseContext, n: int | None) -> None:
        self._left = None if n is None else context.Semaphore(min(n, MOST))

    def take(self) -> bool:
        return self._left is None or self._left.acquire(block=False)

    def give_back(self) -> None:
        if self._left is not None:
            self._left.release()
