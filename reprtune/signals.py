"""What a process does when it is asked to end: by Ctrl-C (SIGINT), by `kill` (SIGTERM), by a scheduler that is about to
take the machine away (SIGUSR1, as in `sbatch --signal=USR1@60`), by a closed terminal (SIGHUP).

Handlers are set for the main thread, and put back where a block ends.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
REPEATED = (signal.SIGTERM, signal.SIGUSR1)  # by schedulers, until a process has ended
Handler = Callable[[int, FrameType | None], Any]


class StopRequest:
    """True, when called, once somebody has asked the process to end. `asked` may be set by others too."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def ask(self, *_: Any) -> None:
        """To be a handler of signals."""
        self.asked = True

    def listen(self) -> None:
        """Let the signals that stop ask, for the rest of this process."""
        for number in STOPPING:
            signal.signal(number, self.ask)


@contextlib.contextmanager
def handled(handler: Handler, numbers: tuple[signal.Signals, ...] = STOPPING) -> Iterator[None]:
    """In the block, the signals call `handler` with their number and the frame that they interrupt."""
    before = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)


@contextlib.contextmanager
def remembered(*, ends: bool = False) -> Iterator[StopRequest]:
    """In the block, the signals that stop end nothing; whether one came is asked of what this gives.

    Args:
        ends: the process ends after the block if one came: those that schedulers repeat then pass.
    """
    request = StopRequest()
    before = [(number, signal.signal(number, request.ask)) for number in STOPPING]
    try:
        yield request
    finally:
        for number, old in before:
            passes = ends and request.asked and number in REPEATED
            signal.signal(number, signal.SIG_IGN if passes else old)


@contextlib.contextmanager
def like_ctrl_c(*numbers: signal.Signals) -> Iterator[None]:
    """In the block, these signals raise KeyboardInterrupt (SIGTERM, if none is named)."""
    with handled(signal.default_int_handler, numbers or (signal.SIGTERM,)):
        yield


@contextlib.contextmanager
def held_back(numbers: tuple[signal.Signals, ...] = STOPPING) -> Iterator[None]:
    """In the block, the signals that stop wait, here and in processes that are started, until these `let_through`.

    Held back, not ignored: none is lost.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def let_through() -> None:
    """Hear from now on what was `held_back` when this process was started."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def ignore(numbers: tuple[signal.Signals, ...] = STOPPING) -> None:
    """Let the signals that stop pass, for the rest of this process: another one decides when it ends, or it ends
    already."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
