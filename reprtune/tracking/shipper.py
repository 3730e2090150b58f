"""Sends the journal to the tracker, beside the training and never in its way.

How far a slot has been sent stands in `KEY.shipped`, together with where to and which run it became.
Sending again what the tracker has already changes nothing there: runs are found by their identity before one
is made, and points carry the times fixed in the journal. So losing that file, a server that died in the
middle, or one that was emptied, all mend themselves. Where artifacts cannot be written, all else is sent.
Pages are drawn here, from the data that workers wrote: they draw nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.tracking.choose import tracker_for
from reprtune.tracking.events import PLOTS, PLOTS_DATA, identity
from reprtune.tracking.journal import journal_for
from reprtune.tracking.shipped import Shipped, forget_shipped, read_shipped, waiting, write_shipped
from reprtune.tracking.tracker import TrackedRun, TrackedStudy, Tracker
from reprtune.tracking.updates import CONFIG, RunUpdate, fold

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
    """Sends one study's journal on this machine to its tracker.

    Args:
        study, digest, facts: as stored; what the study needs there is made again where missing.
        report: gets one sentence when tracking begins to fail and one when it works again, and what a person is to
            know of the study's place there.
        draw: makes a trial's page from what its worker wrote (`dashboards.trial_page.drawn`).
        tracker: None = the one that the settings name.
    """

    def __init__(
        self,
        settings: Settings,
        study: StudySpec,
        digest: str,
        report: Callable[[str], None] = lambda _: None,
        draw: Callable[[str], str] = lambda data: data,
        facts: Mapping[str, Any] | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self._study, self._digest, self._facts = study, digest, facts or {}
        self._tracker = tracker or tracker_for(settings)
        self._draw = draw
        self._report = report
        self._journal = journal_for(settings, study.name)
        self._tracked: TrackedStudy | None = None
        self._noted: set[str] = set()
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
        return sum(waiting(self._journal, key, self._shipped(key)) for key in self._journal.slots())

    def _forget_what_is_gone(self) -> str | None:
        """Forget that slots were sent whose runs are not there (any more); what went wrong."""
        try:
            there = {run.id for run in self._open().runs()}
            for key in self._journal.slots():
                shipped = self._shipped(key)
                gone = shipped.offset and shipped.run not in there
                if gone and self._owner(key).startswith(f"{self._digest}/"):
                    forget_shipped(self._journal, key)
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
            if not waiting(self._journal, key, self._shipped(key)):
                continue
            if time.monotonic() >= end:
                break
            try:
                self._ship_slot(key)
            except Exception as problem:  # noqa: BLE001 - as above
                error = self._sentence(problem)
                self._tracked = None
                if not self._tracker.is_refusal(
                    problem
                ):  # one slot that is refused does not hold up the others
                    break
        after = self.pending()
        return ShipResult(max(0, before - after), after, error or self._artifact_error)

    def _open(self) -> TrackedStudy:
        if self._tracked is None:
            self._tracked = self._tracker.open(self._study, self._digest, self._facts)
            for note in self._tracked.notes:
                if note not in self._noted:
                    self._noted.add(note)
                    self._report(note)
        return self._tracked

    def _ship_slot(self, key: str) -> None:
        tracked, own = self._open(), identity(self._digest, key)
        events, shipped, owner = self._journal.read(key), self._shipped(key), self._owner(key)
        updates = fold(events, shipped.offset, own)
        runs = _runs(tracked, updates, owner)
        moved = shipped.offset > 0 and _id(runs[owner]) != shipped.run
        if moved or any(runs[update.identity] is None and not update.whole for update in updates):
            shipped = Shipped()  # what was sent has been deleted, or the server emptied
            updates = fold(events, 0, own)
            runs = _runs(tracked, updates, owner)
        artifacts = {owner: dict.fromkeys(shipped.unsent)}
        for update in updates:
            run = tracked.send(update, runs[update.identity])
            if run is None:
                artifacts.pop(update.identity, None)
                continue
            runs[update.identity] = run
            artifacts[update.identity] = artifacts.get(update.identity, {}) | update.artifacts
        unsent = tuple(
            name
            for run_identity, names in artifacts.items()
            for name in names
            if not self._sent_artifact(tracked, runs[run_identity], key, name)
        )
        shipped = Shipped(events[-1][0], _id(runs[owner]), unsent)
        write_shipped(self._journal, key, self._tracker.address, shipped)

    def _sent_artifact(self, tracked: TrackedStudy, run: TrackedRun | None, key: str, name: str) -> bool:
        """Whether an artifact is there now; one that is gone from the journal is not waited for."""
        if self._artifact_error is not None:
            return False
        try:
            if run is not None and (content := self._artifact(key, name)) is not None:
                tracked.send_artifact(run, name, content)
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
        if name == PLOTS:
            data = path.with_name(PLOTS_DATA)
            data = (
                data if data.exists() else path
            )  # earlier versions kept the page itself, without its library
            return self._draw(data.read_text(encoding="utf-8")) if data.exists() else None
        if not path.exists():
            return None
        return path if path.is_dir() else path.read_text(encoding="utf-8")

    def _owner(self, key: str) -> str:
        """Identity of the run that the last events of a journal belong to."""
        given = [event["identity"] for _, event in self._journal.read(key) if "identity" in event]
        return given[-1] if given else identity(self._digest, key)

    def _shipped(self, key: str) -> Shipped:
        return read_shipped(self._journal, key, self._tracker.address)

    def _sentence(self, error: Exception) -> str:
        return self._tracker.in_words(error).message

    def _note(self, result: ShipResult) -> None:
        """Keep the status, and say once that tracking fails and once that it works again."""
        before = self.status
        if result.error is None:
            self.status = TrackingStatus(result.pending)
            if before.error is not None and not result.busy:
                self._report(f"{self._tracker.name} tracking works again.")
            return
        since = time.time() if before.since is None else before.since
        self.status = TrackingStatus(result.pending, result.error, since)
        if before.error is None:
            kept = "1 event is" if result.pending == 1 else f"{result.pending} events are"
            self._report(
                f"{self._tracker.name} tracking fails, training goes on: {result.error.rstrip('.')}. "
                f"{kept} kept in {self._journal.root} and will be sent later."
            )


def _runs(tracked: TrackedStudy, updates: list[RunUpdate], owner: str) -> dict[str, TrackedRun | None]:
    wanted = {owner, *(update.identity for update in updates)}
    return {one: tracked.find(one) for one in wanted}


def _id(run: TrackedRun | None) -> str:
    return run.id if run is not None else ""
