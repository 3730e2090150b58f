"""A worker: a process that takes slots, trains them, and takes another while one must wait.

It needs nothing but the storage's URL, the study's name and the folders of its machine; any number of
them, started anywhere at any time, finish a study together.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from reprtune.errors import ReprtuneError, StorageError, StudyError
from reprtune.record.codes import short_digest
from reprtune.record.database import open_storage, retried
from reprtune.record.outcomes import Outcome
from reprtune.record.places import check_place
from reprtune.record.storage import read_header
from reprtune.record.view import StudyView
from reprtune.settings import Settings, hang_seconds
from reprtune.states.store import StateStore
from reprtune.study.code import check_code
from reprtune.study.queueing import refill
from reprtune.study.sameness import check_data, check_networks, check_user_code, same_packages
from reprtune.tracking.environment import machine_tags, packages
from reprtune.tracking.journal import journal_for
from reprtune.training.chain.chain import LoadedData
from reprtune.training.platform.device import Device, describe, open_device
from reprtune.training.platform.device_faults import DeviceError, check_computes, fault, first_line
from reprtune.work.attempt import Attempt
from reprtune.work.budget import Budget
from reprtune.work.context import WorkerContext
from reprtune.work.device_use import DeviceUse
from reprtune.work.lease import Heartbeat
from reprtune.work.monitor import Monitor
from reprtune.work.outbox import LONGEST
from reprtune.work.presence import Presence
from reprtune.work.process import EXIT_CODES, Known, Left, MustLeave, Tickets, WorkerMessage, worker_name
from reprtune.work.pulse import Pulse
from reprtune.work.queue import queues
from reprtune.work.reaper import REAP_BEATS, Reaper
from reprtune.work.watchdog import Hang, Watchdog

MAX_HELD = 2  # slots a worker holds at once: one that waits for a shared segment, one that trains
MAX_FAILED = 3  # slots in a row that end with errors: then it is the worker, and it leaves


class Worker:
    """Works on one study until nothing is left to take, its tickets are used up, or it must leave.

    Args:
        index: of the worker on its machine; chooses the GPU where there are several.
        report: called with what happens. leaving: True once it must stop.
        known: what workers before it have found out.
        accept_code: go on although the code here is not the study's.
        abandon: ends this process at once, in which a training stands still. pulse: for its launcher.

    Raises:
        StudyError: the data, our code or the person's own here are not the study's.
        DataError, StorageError, StateError: as they say.
        MustLeave: from `run` too: this process may not be usable any more. Its slots are given back, or lost.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        index: int,
        tickets: Tickets,
        report: Callable[[WorkerMessage], None],
        leaving: Callable[[], bool],
        *,
        known: Known | None = None,
        accept_code: bool = False,
        abandon: Callable[[Left], None] = lambda left: os._exit(EXIT_CODES[left.why]),
        pulse: Pulse | None = None,
    ) -> None:
        self.abandon, self.pulse = abandon, pulse or Pulse(multiprocessing.get_context())
        self.worker = worker_name(index)
        self.tickets, self.report, self.asked_to_leave = tickets, report, leaving
        check_place(settings.storage_url)
        self.storage = retried(partial(open_storage, settings.storage_url))
        study = retried(partial(read_header, self.storage, name))
        code = check_code(study, accept=accept_code)
        self.held: list[Attempt] = []
        self._began, self._busy = False, 0  # a slot was taken; id of the trial that was turned to last
        known = known or Known()
        device = usable_device(settings, index, known)
        loaded_data, described = LoadedData(settings.data_dir, device), describe(device)
        self.context = WorkerContext(
            spec=study.spec,
            digest=study.digest,
            instance=study.instance,
            steps_per_epoch=study.facts["steps_per_epoch"],
            loaded_data=loaded_data,
            store=StateStore(settings.states, self.worker),
            journal=journal_for(settings, name),
            worker=self.worker,
            leaving=self._must_leave,
            tags={**machine_tags(), "device": described},
            packages=None if same_packages(study) else packages(),
            budget=Budget(self.storage, study.spec, self.worker),
            device=described,
            uncapturable=known.uncapturable,
        )
        with self._faults_end_it():
            user_code = check_user_code(study, accept=accept_code)
            check_networks(study)
            check_data(study, loaded_data)
        self.context = replace(self.context, code=short_digest(code, user_code))
        self.view = StudyView(self.storage, name)
        self.queues = queues(self.view, study)
        self.lease = {"worker": self.worker, "host": platform.node(), "device": str(device)}
        self.lease["code"] = self.context.code
        self.beat_seconds, self.grace_seconds = study.lease
        self.reaper = Reaper(self.storage, name, self.context.store, REAP_BEATS * self.beat_seconds)
        self._closing = False
        self._failed: list[str] = []  # errors of the last slots, as many as failed in a row
        self._created, self._trained = study.created, ""  # the journal of what is trained at the moment

    @contextmanager
    def _faults_end_it(self) -> Iterator[None]:
        """Whatever goes wrong, also between two trainings: can this process go on?"""
        device = self.context.loaded_data.device
        try:
            yield
        except MustLeave as leave:
            self._leave(leave.left)
            raise
        except Exception as error:
            if (reason := fault(device)) is None:
                raise
            left = Left("device", reason, str(device), began=self._began)
            self._leave(left)
            raise MustLeave(left) from error

    def run(self) -> None:
        use = DeviceUse(self.context.loaded_data.device)
        presence = retried(
            lambda: Presence(self.storage, self.view.name, self.worker, self.lease["device"], use)
        )
        self.reaper.look()
        self.reaper.start()
        heartbeat = Heartbeat(self.held, self.beat_seconds, presence.beat)
        watchdog = Watchdog(self.held, hang_seconds(), self._hung, beat=self.pulse.beat)
        monitor = Monitor(self.context.journal, lambda: self._trained or None, self._created)
        with ExitStack() as at_the_end:
            gc.freeze()  # what was imported stays; it need not be looked through before every network
            at_the_end.callback(gc.unfreeze)
            at_the_end.callback(monitor.close)
            at_the_end.callback(presence.close)
            at_the_end.callback(self.reaper.close)
            at_the_end.callback(heartbeat.close)
            at_the_end.callback(self.pulse.rest)
            at_the_end.callback(watchdog.close)
            try:
                with self._faults_end_it():
                    self._work()
            except StorageError:
                self.held.clear()  # nobody to give the slots back to: they grow stale, and others take them up
                raise
            finally:
                self._closing = True
                at_the_end.callback(self._let_go)

    def _must_leave(self) -> bool:
        return self._closing or self.asked_to_leave()

    def _work(self) -> None:
        idle_since: float | None = None
        while not self._must_leave():
            self._check_failures()
            moved = self._advance_all()
            if not moved and len(self.held) < MAX_HELD:
                moved = self._take()
            if moved:
                idle_since = None
                continue
            idle_since = idle_since or time.monotonic()
            if not self.held and not self._worth_waiting(time.monotonic() - idle_since):
                return
            self._pause()

    def _advance_all(self) -> bool:
        moved = False
        for attempt in list(self.held):
            moved = self._advance(attempt) or moved
        return moved

    def _advance(self, attempt: Attempt) -> bool:
        """Train until the attempt ends or has to wait for another worker; did anything happen?"""
        moved = False
        self._turn_to(attempt)
        while not self._must_leave():
            self._trained = attempt.key
            update = attempt.advance()
            self._trained = ""
            if attempt.outcome is not None:
                self.held.remove(attempt)
                self._ended(attempt)
                return True
            if update is None or update.kind == "blocked":
                return moved
            moved = True
            assert attempt.run is not None
            points = attempt.run.networks.points
            self.report(
                WorkerMessage(
                    "progress", attempt.title, *attempt.steps(),
                    points[-1].val_error if points else None,
                )
            )  # fmt: skip
        return moved

    def _take(self) -> bool:
        """Take and begin one slot; False when there is none or no ticket is left. Beside one that waits for what others
        train, only one that need not wait."""
        if not self.tickets.take():
            return False
        for apart, queue in itertools.product((True,) if self.held else (True, False), self.queues):
            if queue.section.is_drawn and retried(self.context.budget.is_used_up):
                if retried(partial(queue.end_waiting, "over-budget")):
                    self._refill()  # what has waited for the end of the search may begin
                continue
            trial = retried(partial(queue.take, self.worker, self.lease, apart=apart))
            if trial is None:
                continue
            self._begin(Attempt(trial, queue, self.context))
            return True
        self.tickets.give_back()
        return False

    def _begin(self, attempt: Attempt) -> None:
        self._began = True
        self.held.append(attempt)
        self._turn_to(attempt)
        attempt.begin()
        if attempt.outcome is None:
            self.report(WorkerMessage("begin", attempt.title))
        else:
            self.held.remove(attempt)
            self._ended(attempt)

    def _turn_to(self, attempt: Attempt) -> None:
        self._busy = attempt.trial_id
        device = str(self.context.loaded_data.device)
        self.report(WorkerMessage("busy", attempt.title, trial_id=attempt.trial_id, device=device))

    def _ended(self, attempt: Attempt) -> None:
        self._refill()
        if attempt.outcome is not None and not Outcome(attempt.outcome).holds_slot:
            self.tickets.give_back()
            return
        broken = attempt.outcome is not None and Outcome(attempt.outcome).is_broken
        self._failed = [*self._failed, f"{attempt.title}: {attempt.error}"] if broken else []
        self.report(
            WorkerMessage(
                "end", attempt.title, val_error=attempt.shown_error, outcome=str(attempt.outcome),
                error=(attempt.error or "")[:LONGEST],
            )
        )  # fmt: skip

    def _check_failures(self) -> None:
        """Leave where everything fails: the slots are for those who can train them."""
        if len(self._failed) >= MAX_FAILED:
            reason = f"{MAX_FAILED} slots in a row failed, the last with {self._failed[-1]}"[:LONGEST]
            raise MustLeave(Left("failing", reason, str(self.context.loaded_data.device), began=True))

    def _hung(self, attempt: Attempt, hang: Hang) -> None:
        """Called by the watchdog's thread: what hangs cannot be ended in this process. Its other slots are given
        back."""
        reason = f"no progress for {hang.seconds:.0f} s, in {hang.where}"
        try:
            attempt.hang(reason, hang.stack)
            self._give_back()
        finally:
            self.abandon(
                Left("hung", f"{attempt.title} stood still: {reason}", self.lease["device"], began=True)
            )

    def _let_go(self) -> None:
        """Leaving: save where the trials stand and give their slots back."""
        try:
            with self._faults_end_it():
                for attempt in self.held:
                    self._turn_to(attempt)
                    attempt.advance()  # stops at its next step, saves, and gives the slot back
        finally:
            self._give_back()

    def _leave(self, left: Left) -> None:
        """Give all slots back; the one that took the device is lost."""
        try:
            for attempt in self.held:
                if left.why == "device" and attempt.trial_id == self._busy:
                    attempt.lose(left.reason)
            self._give_back()
        finally:
            self.held.clear()  # whatever happens, nobody asks the device to save them

    def _give_back(self) -> None:
        """Let go of all slots, each with its last state; asks nothing of the device."""
        held = [*self.held]
        self.held.clear()
        for attempt in held:
            attempt.suspend()
        for attempt in held:  # after all are back: it reads the record, which may be damaged
            self._ended(attempt)

    def _refill(self) -> None:
        """Queue what the sections want now; one that was added since is worked on too. A trial in the record that
        cannot be read stops nobody who trains others: whoever started the worker looks too, and says so."""
        study = retried(self.view.header)
        self.queues = queues(self.view, study, known=self.queues)
        with contextlib.suppress(StudyError):
            retried(lambda: refill(self.view))

    def _worth_waiting(self, idle_seconds: float) -> bool:
        """With nothing to take, stay for one grace period while others still train: should one of
        them have died just now, its slot will be queued again by then. Where a section is still to be queued, as a
        confirmation is when they have ended, or may ask for more then, stay for it."""
        if not self.tickets.take():
            return False
        self.tickets.give_back()
        try:
            study = retried(self.view.record)
        except StudyError:
            return False  # as above
        left = [section.name for section in study.spec.sections if study.pending(section.name)]
        running = any(trial.outcome == Outcome.RUNNING for name in left for trial in study.of(name))
        if running and any(study.may_want_more(section.name) for section in study.spec.sections):
            return True
        return bool(left) and idle_seconds < self.grace_seconds + 2 * REAP_BEATS * self.beat_seconds

    def _pause(self) -> None:
        self.report(WorkerMessage("idle"))
        time.sleep(0.2 if self.held else 1.0)


def usable_device(settings: Settings, index: int, known: Known) -> Device:
    """The device of a worker, which computes.

    Raises:
        MustLeave: it does not, or it was another's before and is gone.
        ReprtuneError: what the settings name is not there.
    """
    if known.device is not None:
        settings = replace(settings, device=known.device)
    try:
        device = open_device(settings, index)
        check_computes(device)
    except ReprtuneError as error:
        if isinstance(error, DeviceError):
            raise MustLeave(Left("device", error.reason, str(error.device))) from error
        if known.device is not None:
            raise MustLeave(Left("device", first_line(error), known.device)) from error
        raise
    return device
