"""How the processes of a launcher start, so that the signals that stop end none of them before it can answer."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker

from reprtune import signals


def start_tracker() -> None:
    """Start Python's process that counts semaphores. It is deaf to SIGINT and SIGTERM; a scheduler may send SIGUSR1 to
    all processes of a job."""
    with signals.held_back((signal.SIGUSR1,)):
        resource_tracker.ensure_running()


@contextlib.contextmanager
def child_environment() -> Iterator[None]:
    """Workers start with the signals that stop them held back until they can answer (see `launch.work`), and with
    one thread for libraries that ask the environment."""
    start_tracker()  # its own start would let the signals through
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: before[name] or "1" for name in names})
    try:
        with signals.held_back():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
