"""What a worker tells its launcher: training never waits for it to be read."""

from __future__ import annotations

import select
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

PASSING = ("progress", "idle")  # kinds of messages that the next one replaces
LONGEST = (
    1000  # characters of an error: a message that fits a free page of the pipe is written without waiting
)


class Outbox:
    """Sends at once what the pipe can take, and keeps the rest: the launcher may be stopped for hours.

    Args:
        pipe: to the launcher.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._waiting: deque[Any] = deque()
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLOUT)

    def send(self, what: Any) -> None:
        """Never waits. What only passes is dropped where there is no room for it.

        Raises:
            OSError: the launcher is gone.
        """
        passes = getattr(what, "kind", "") in PASSING
        if not passes:
            self._waiting.append(what)
        self._send_waiting(0)
        if passes and not self._waiting and self._poll.poll(0):
            self._pipe.send(what)

    def flush(self, seconds: float) -> None:
        """Wait until all is sent, but not longer than that for each message.

        Raises:
            OSError: the launcher is gone.
        """
        self._send_waiting(seconds)

    def _send_waiting(self, seconds: float) -> None:
        while self._waiting and self._poll.poll(1000 * seconds):
            self._pipe.send(self._waiting.popleft())
