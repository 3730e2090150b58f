"""Is everything here that a study needs? Every check says what it found and how to mend it.

Looking makes nothing: no database, folder or file is left that was not there, and what would be made is
said. Each check has a deadline of its own, so that a dead server costs seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from reprtune.passwords import hide

VERDICTS = ("ok", "warning", "problem")
SECONDS = 10.0  # for whatever asks a server, disk or GPU


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        check: what was looked at, in a word. verdict: of `VERDICTS`.
        text: what was found, with its values. mend: what to do, where something is to be done.
    """

    check: str
    verdict: str
    text: str
    mend: str = ""


Check = Callable[[], Iterable[Finding]]


def examine(checks: Mapping[str, Check], seconds: float = SECONDS) -> Iterator[Finding]:
    """The findings of all checks in their order. They run beside each other; one that raises, or has not
    ended after `seconds`, is a finding itself."""
    running = {name: _Running(name, check) for name, check in checks.items()}
    end = time.monotonic() + seconds
    for one in running.values():
        one.thread.join(max(0.0, end - time.monotonic()))
        yield from one.findings(seconds)


class _Running:
    """A check in a thread that does not keep the process alive."""

    def __init__(self, name: str, check: Check) -> None:
        self.name, self.check = name, check
        self.found: list[Finding] | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            found = list(self.check())
        except Exception as error:  # noqa: BLE001 - whatever is broken here is what was asked for
            text = (hide(str(error)).strip() or type(error).__name__).splitlines()[0]
            found = [Finding(self.name, "problem", f"{type(error).__name__}: {text}", "See the message.")]
        self.found = found

    def findings(self, seconds: float) -> list[Finding]:
        if self.found is not None:
            return self.found
        return [
            Finding(
                self.name,
                "problem",
                f"no answer within {seconds:g} s",
                "Check that the server or file system behind it is up and reachable from here.",
            )
        ]
