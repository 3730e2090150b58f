"""Runs one command and ends it, with everything it started, as soon as standard input is closed.

The process that starts a guard holds the other end of its standard input. However that process comes to
its end (also by SIGKILL, where no handler runs), the system closes its end, and nothing stays behind.

    python -I guard.py COMMAND [ARGUMENT ...]     in a session of its own

It needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

LOOK_SECONDS = 0.2
GRACE_SECONDS = 4.0


def main(words: list[str]) -> None:
    """Run `words`; ends by killing its own process group, so that it does not return."""
    # Handlers, not SIG_IGN: what is ignored would be ignored by the command too.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    command = subprocess.Popen(words, stdin=subprocess.DEVNULL)  # noqa: S603 - the words are our own
    while command.poll() is None and not _closed():
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while command.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


def _closed() -> bool:
    """Has standard input come to its end? Waits a moment for it."""
    ready, _, _ = select.select([0], [], [], LOOK_SECONDS)
    return bool(ready) and os.read(0, 1) == b""


if __name__ == "__main__":
    main(sys.argv[1:])
