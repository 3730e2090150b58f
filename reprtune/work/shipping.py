"""What a launcher sends to the tracker beside the work: first what others left untold, then what its workers write."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial

from optuna.storages import RDBStorage

from reprtune.errors import ReprtuneError
from reprtune.record.database import retried
from reprtune.record.storage import read_study
from reprtune.settings import Settings
from reprtune.tracking.shipper import Shipper
from reprtune.work.mend_runs import mend_runs

MEND_SECONDS = 60.0


@contextlib.contextmanager
def shipping(shipper: Shipper, first: Callable[[Callable[[], bool]], None]) -> Iterator[None]:
    """In the block, a thread sends what is written down; at its end, the rest.

    Args:
        first: called in that thread before, with what says that it is to come to an end.
    """
    stop = threading.Event()

    def run() -> None:
        try:
            first(stop.is_set)
        finally:  # whatever went wrong there, what is written down now is sent
            shipper.run_until(stop)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def mend_first(
    settings: Settings,
    storage: RDBStorage,
    name: str,
    shipper: Shipper,
    draw: Callable[[str], str],
    say: Callable[[str], None],
    leave: Callable[[], bool],
) -> None:
    """Bring the runs in order whose slots have ended without a word: who was killed then is not asked to come back.
    What was written down here is sent before, for it tells more."""
    with contextlib.suppress(ReprtuneError):
        if shipper.ship_once(MEND_SECONDS).error is not None or leave():
            return
        study = retried(partial(read_study, storage, name), seconds=0)
        if not any(trial.is_final for trial in study.everything):
            return
        mended = mend_runs(settings, study, draw, seconds=MEND_SECONDS, leave=leave)
        for line in mended.words("MLflow", settings.states):
            say(f"tracking: {line}")
