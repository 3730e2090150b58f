"""A training that stands still while its worker's heart beats: noticed by a thread of the worker."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

TICK_SECONDS = 1.0
SLOWER = 20.0  # than the slowest thing it has done so far: then it stands still
STDERR = 2


class Watched(Protocol):
    """What a worker holds.

    `pulse` is another value whenever it has got on, and None while nothing is computed for it. `epoch_seconds`: how
    long an epoch takes at its speed so far; 0 before its first step.
    """

    def pulse(self) -> Hashable: ...
    def epoch_seconds(self) -> float: ...


T = TypeVar("T", bound=Watched)


@dataclass(frozen=True)
class Hang:
    """Attributes:
    seconds: without progress. where: the line that was run. stack: the lines that led to it.
    """

    seconds: float
    where: str
    stack: str


class Watchdog(Generic[T]):
    """Calls `bite`, once, when something held stands still: for `seconds`, and 20 times as long as the slowest step
    or evaluation of this worker and an epoch of this trial have taken.

    Time in which this process was stopped does not count. Where native code keeps Python itself from running, nobody
    is called, nor does the heart beat: the slot grows stale, and others take it up; the launcher ends the process.

    Args:
        held: what the worker holds. seconds: 0 = never.
        bite: called from another thread with what hangs and how. beat: called from there at every look.
    """

    def __init__(
        self,
        held: Sequence[T],
        seconds: float,
        bite: Callable[[T, Hang], None],
        tick: float = TICK_SECONDS,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._held, self._seconds, self._bite, self._tick = held, seconds, bite, tick
        self._beat = beat
        self._watches = threading.get_ident()
        self._pulse: Hashable = None
        self._slowest, self._still, self._seen = 0.0, 0.0, time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watchdog")
        if seconds > 0:
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._tick):  # holding nothing: no trial that ended, with its network
            self._beat()
            if self._bites():
                return

    def _bites(self) -> bool:
        now = time.monotonic()
        self._still += min(now - self._seen, 2 * self._tick)  # not what the process slept
        self._seen = now
        one, found = self._now()
        if one is None or found != self._pulse:
            self._slowest = max(self._slowest, self._still if self._pulse is not None else 0.0)
            self._pulse, self._still = found, 0.0
        elif self._still > self._patience(one):
            self._bite(one, self._hang(self._still))
            return True
        return False

    def _patience(self, one: T) -> float:
        return max(self._seconds, SLOWER * max(self._slowest, one.epoch_seconds()))

    def _now(self) -> tuple[T | None, Hashable]:
        """What is computed for, and its pulse."""
        for one in list(self._held):
            if (pulse := one.pulse()) is not None:
                return one, pulse
        return None, None

    def _hang(self, seconds: float) -> Hang:
        faulthandler.dump_traceback(STDERR)
        frame = sys._current_frames()[self._watches]  # noqa: SLF001 - documented, whatever its name
        stack = traceback.extract_stack(frame)
        where = f"{stack[-1].filename}:{stack[-1].lineno} in {stack[-1].name}"
        return Hang(seconds, where, "".join(traceback.format_list(stack)))
