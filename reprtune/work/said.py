"""What is logged of the database while it is away, for the person who started the run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from reprtune.record import database


class _Repeater(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextlib.contextmanager
def repeated(say: Callable[[str], None]) -> Iterator[None]:
    """Hand it to `say` instead of writing it to stderr."""
    handler, log = _Repeater(say), logging.getLogger(database.__name__)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class Once:
    """Says a sentence; one that several say at once, or again and again, is said once.

    Args:
        say: one sentence for a person.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._last = say, ""

    def __call__(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self._say(text)
