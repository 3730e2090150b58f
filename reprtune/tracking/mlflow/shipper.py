"""Sends the journal to MLflow, beside the training and never in its way.

How far a slot has been sent stands in `KEY.shipped`, together with where to and which run it became.
Sending again what MLflow has already changes nothing there: runs are found by their identity before one
is made, and points carry the times fixed in the journal. So losing that file, a server that died in the
middle, or one that was emptied, all mend themselves. Where artifacts cannot be written, all else is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.tracking.events import identity
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import TrackedStudy, find_run, in_words, open_study, run_ids, shown
from reprtune.tracking.mlflow.sending import CONFIG, Update, fold, send, send_artifact
from reprtune.tracking.mlflow.shipped import Mark, forget_mark, read_mark, waiting, write_mark

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
        study, digest, facts: as stored; the experiment and the parent run are made again where missing.
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
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings, self._study, self._digest, self._facts = settings, study, digest, facts
        self._finish_page = finish_page
        self._report = report
        self._journal = Journal(settings.journal_dir, study.name)
        self._tracked: TrackedStudy | None = None
        self._artifact_error: str | None = None  # in this round: one try is enough to know
        self.status = TrackingStatus()

    def ship_once(self, seconds: float = LAST_SECONDS) -> ShipResult:
        """Send what waits; begin no further slot after `seconds`. Raises nothing."""
        try:
            result = self._ship_alone(seconds)
        except Exception as error:  # noqa: BLE001 - tracking may break in any way, the run goes on
            result = ShipResult(0, self.status.pending, self._sentence(error))
        self._note(result)
        return result

    def run_until(self, stop: threading.Event) -> None:
        """Send every few seconds until `stop`, less often while that fails; then once more. For a thread."""
        pause = INTERVAL_SECONDS
        while not stop.wait(pause):
            failed = self.ship_once().error is not None
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS) if failed else INTERVAL_SECONDS
        self.sync(LAST_SECONDS)

    def sync(self, seconds: float = float("inf"), *, verify: bool = False) -> ShipResult:
        """Send until nothing waits, something fails, or `seconds` are over.

        Args:
            verify: first ask whether all that was sent is still there, and send again what is not.
        """
        end = time.monotonic() + seconds
        sent = 0
        if verify and (problem := self._forget_what_is_gone()) is not None:
            return ShipResult(0, self.pending(), problem)
        while True:
            result = self.ship_once(max(0.0, end - time.monotonic()))
            sent += result.sent
            if not result.pending or result.error or time.monotonic() >= end:
                return ShipResult(sent, result.pending, result.error, result.busy)
            if result.busy:
                time.sleep(0.2)

    def pending(self) -> int:
        """Events and artifacts that have not been sent."""
        return sum(waiting(self._journal, key, self._mark(key)) for key in self._journal.slots())

    def _forget_what_is_gone(self) -> str | None:
        """Forget that slots were sent whose runs are not there (any more); what went wrong."""
        try:
            tracked = self._open()
            there = run_ids(tracked, self._digest)
            for key in self._journal.slots():
                mark = self._mark(key)
                if mark.offset and mark.run not in there and self._owner(key).startswith(f"{self._digest}/"):
                    forget_mark(self._journal, key)
        except Exception as error:  # noqa: BLE001 - tracking may break in any way
            return self._sentence(error)
        return None

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
        before, error = self.pending(), None
        self._artifact_error = None
        if self._tracked is not None and not self._tracked.is_there():
            self._tracked = None
        for key in self._journal.slots():
            if not waiting(self._journal, key, self._mark(key)):
                continue
            if time.monotonic() >= end:
                break
            try:
                self._ship_slot(key)
            except Exception as problem:  # noqa: BLE001 - as above
                error = self._sentence(problem)
                self._tracked = None
                if not _refused(problem):  # one slot that is refused does not hold up the others
                    break
        after = self.pending()
        return ShipResult(max(0, before - after), after, error or self._artifact_error)

    def _open(self) -> TrackedStudy:
        if self._tracked is None:
            self._tracked = open_study(self._settings, self._study, self._digest, self._facts)
        return self._tracked

    def _ship_slot(self, key: str) -> None:
        tracked, own = self._open(), identity(self._digest, key)
        events, mark, owner = self._journal.read(key), self._mark(key), self._owner(key)
        updates = fold(events, mark.offset, own)
        runs = _runs(tracked, updates, owner)
        moved = mark.offset > 0 and _id(runs[owner]) != mark.run
        if moved or any(runs[update.identity] is None and not update.whole for update in updates):
            mark, updates = (
                Mark(),
                fold(events, 0, own),
            )  # what was sent has been deleted, or the server emptied
            runs = _runs(tracked, updates, owner)
        artifacts = {owner: dict.fromkeys(mark.unsent)}
        for update in updates:
            run = send(tracked, update, runs[update.identity])
            if run is None:
                artifacts.pop(update.identity, None)
                continue
            runs[update.identity] = run
            artifacts[update.identity] = artifacts.get(update.identity, {}) | update.artifacts
        unsent = tuple(
            name
            for run_identity, names in artifacts.items()
            for name in names
            if not self._sent_artifact(tracked, _id(runs[run_identity]), key, name)
        )
        write_mark(
            self._journal,
            key,
            shown(self._settings.mlflow_uri),
            Mark(events[-1][0], _id(runs[owner]), unsent),
        )

    def _sent_artifact(self, tracked: TrackedStudy, run_id: str, key: str, name: str) -> bool:
        """Whether an artifact is there now; one that is gone from the journal is not waited for."""
        if self._artifact_error is not None:
            return False
        content = self._artifact(key, name)
        try:
            if content is not None:
                send_artifact(tracked, run_id, name, content)
        except Exception as error:  # noqa: BLE001 - as above
            self._artifact_error = f"Artifacts cannot be written. {self._sentence(error)}"
            return False
        return True

    def _artifact(self, key: str, name: str) -> str | Path | None:
        """The text of an artifact, as it is to be read; the folder of several; None when it is gone."""
        if name == CONFIG:
            begins = [event["config"] for _, event in self._journal.read(key) if event["event"] == "begin"]
            return begins[-1] if begins else None
        path = self._journal.artifact_path(key, name)
        if not path.exists():
            return None
        if path.is_dir():
            return path
        text = path.read_text(encoding="utf-8")
        return self._finish_page(text) if path.suffix == ".html" else text

    def _owner(self, key: str) -> str:
        """Identity of the run that the last events of a journal belong to."""
        given = [event["identity"] for _, event in self._journal.read(key) if "identity" in event]
        return given[-1] if given else identity(self._digest, key)

    def _mark(self, key: str) -> Mark:
        return read_mark(self._journal, key, shown(self._settings.mlflow_uri))

    def _sentence(self, error: Exception) -> str:
        return in_words(error, self._settings.mlflow_uri).message

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


def _runs(tracked: TrackedStudy, updates: list[Update], owner: str) -> dict[str, Run | None]:
    wanted = {owner, *(update.identity for update in updates)}
    return {one: find_run(tracked.client, tracked.experiment_id, one) for one in wanted}


def _id(run: Run | None) -> str:
    return str(run.info.run_id) if run is not None else ""


def _refused(error: Exception) -> bool:
    """Whether the store answered, and did not like this one slot."""
    codes = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")
    return getattr(error, "error_code", None) in codes
