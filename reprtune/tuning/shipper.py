"""Sends the journal to MLflow, beside the training and never in its way.

How far a slot has been sent stands in `KEY.shipped`, together with where to. Sending again what MLflow
has already changes nothing there: runs are found by their identity before one is made, and points
carry the times fixed in the journal. So losing that file, a server that died in the middle, or one
that was emptied, all mend themselves.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from reprtune.errors import TrackingError
from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.tuning.events import identity
from reprtune.tuning.journal import Journal, write_atomically
from reprtune.tuning.sending import Update, fold, send
from reprtune.tuning.tracking import TrackedStudy, brief, find_run, open_study, shown

if TYPE_CHECKING:
    from mlflow.entities import Run

INTERVAL_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
LAST_SECONDS = 20.0


@dataclass(frozen=True)
class ShipResult:
    """What one round did: events sent, events still waiting, and why (None when all is well).

    `busy`: another process is sending this journal now.
    """

    sent: int
    pending: int
    error: str | None = None
    busy: bool = False


@dataclass(frozen=True)
class TrackingStatus:
    """Events that wait here, and since when (seconds since 1970) and why tracking fails, if it does."""

    pending: int = 0
    error: str | None = None
    since: float | None = None


class Shipper:
    """Sends one study's journal on this machine to its tracking store.

    Args:
        study, digest: as stored; the experiment and the parent run are made again where missing.
        report: gets one sentence when tracking begins to fail and one when it works again.
        finish_page: makes an .html artifact of the journal whole.
    """

    def __init__(
        self,
        settings: Settings,
        study: StudySpec,
        digest: str,
        report: Callable[[str], None] = lambda _: None,
        finish_page: Callable[[str], str] = lambda page: page,
    ) -> None:
        self._settings, self._study, self._digest = settings, study, digest
        self._finish_page = finish_page
        self._report = report
        self._journal = Journal(settings.journal_dir, study.name)
        self._tracked: TrackedStudy | None = None
        self.status = TrackingStatus()

    def ship_once(self, seconds: float = LAST_SECONDS) -> ShipResult:
        """Send what waits; begin no further slot after `seconds`. Raises nothing."""
        try:
            result = self._ship_alone(seconds)
        except Exception as error:  # noqa: BLE001 - tracking may break in any way, the run goes on
            result = ShipResult(0, self.status.pending, _sentence(error))
        self._note(result)
        return result

    def run_until(self, stop: threading.Event) -> None:
        """Send every few seconds until `stop`, less often while that fails; then once more. For a thread."""
        pause = INTERVAL_SECONDS
        while not stop.wait(pause):
            failed = self.ship_once().error is not None
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS) if failed else INTERVAL_SECONDS
        self.sync(LAST_SECONDS)

    def sync(self, seconds: float = float("inf")) -> ShipResult:
        """Send until nothing waits, something fails, or `seconds` are over."""
        end = time.monotonic() + seconds
        sent = 0
        while True:
            result = self.ship_once(max(0.0, end - time.monotonic()))
            sent += result.sent
            if not result.pending or result.error or time.monotonic() >= end:
                return ShipResult(sent, result.pending, result.error, result.busy)
            if result.busy:
                time.sleep(0.2)

    def pending(self) -> int:
        """Events that have not been sent."""
        return sum(self._waiting(key) for key in self._journal.slots())

    def _ship_alone(self, seconds: float) -> ShipResult:
        if not self.pending():
            return ShipResult(0, 0)
        try:
            held = FileLock(self._journal.root / ".shipping.lock").acquire(timeout=0)
        except Timeout:
            return ShipResult(0, self.pending(), busy=True)
        with held:
            return self._ship(seconds)

    def _ship(self, seconds: float) -> ShipResult:
        end = time.monotonic() + seconds
        waiting = [key for key in self._journal.slots() if self._waiting(key)]
        sent, error = 0, None
        for key in waiting:
            if time.monotonic() >= end:
                break
            try:
                sent += self._ship_slot(key)
            except Exception as problem:  # noqa: BLE001 - as above
                error = _sentence(problem)
                self._tracked = None
                if not _refused(problem):  # one slot that is refused does not hold up the others
                    break
        return ShipResult(sent, self.pending(), error)

    def _ship_slot(self, key: str) -> int:
        tracked = self._tracked = self._tracked or open_study(self._settings, self._study, self._digest)
        events = self._journal.read(key)
        offset, own = self._offset(key), identity(self._digest, key)
        updates = fold(events, offset, own)
        runs = _runs(tracked, updates)
        if any(run is None and not update.whole for update, run in zip(updates, runs, strict=True)):
            updates = fold(events, 0, own)  # what was sent has been deleted there, or the server emptied
            runs = _runs(tracked, updates)
        for update, run in zip(updates, runs, strict=True):
            send(tracked, update, run, partial(self._artifact, key))
        self._remember(key, events[-1][0])
        return sum(end > offset for end, _ in events)

    def _artifact(self, key: str, name: str) -> str | Path | None:
        """The text of an artifact, as it is to be read; the folder of several; None when it is gone."""
        path = self._journal.artifact_path(key, name)
        if not path.exists():
            return None
        if path.is_dir():
            return path
        text = path.read_text(encoding="utf-8")
        return self._finish_page(text) if path.suffix == ".html" else text

    def _waiting(self, key: str) -> int:
        path, offset = self._journal.path(key), self._offset(key)
        if not path.exists() or path.stat().st_size <= offset:
            return 0
        return sum(end > offset for end, _ in self._journal.read(key))

    def _offset(self, key: str) -> int:
        """Bytes of a journal that this tracking store has; 0 when unknown."""
        try:
            stored = json.loads(self._journal.path(key).with_suffix(".shipped").read_text())
            known = stored["uri"] == shown(self._settings.mlflow_uri)
            fits = int(stored["offset"]) <= self._journal.path(key).stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return int(stored["offset"]) if known and fits else 0

    def _remember(self, key: str, offset: int) -> None:
        text = json.dumps({"uri": shown(self._settings.mlflow_uri), "offset": offset})
        write_atomically(self._journal.path(key).with_suffix(".shipped"), text.encode())

    def _note(self, result: ShipResult) -> None:
        """Keep the status, and say once that tracking fails and once that it works again."""
        before = self.status
        if result.error is None:
            self.status = TrackingStatus(result.pending)
            if before.error is not None and not result.busy:
                self._report("MLflow tracking works again.")
            return
        since = time.time() if before.since is None else before.since
        self.status = TrackingStatus(result.pending, result.error, since)
        if before.error is None:
            self._report(
                f"MLflow tracking fails, training goes on: {result.error} "
                f"{result.pending} events are kept in {self._journal.root} and will be sent later."
            )


def _runs(tracked: TrackedStudy, updates: Sequence[Update]) -> list[Run | None]:
    return [find_run(tracked.client, tracked.experiment_id, update.identity) for update in updates]


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, TrackingError) else brief(error)


def _refused(error: Exception) -> bool:
    """Whether the store answered, and did not like this one slot."""
    codes = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")
    return getattr(error, "error_code", None) in codes
