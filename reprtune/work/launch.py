"""Run a study on this machine: spawn workers, watch them, ship their journals, stop them gently."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import connection
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError

from reprtune import signals
from reprtune.errors import ReprtuneError, StorageError, StudyError
from reprtune.passwords import guard_output
from reprtune.record.database import open_storage, retried
from reprtune.record.places import check_place
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_study
from reprtune.record.tracked import write_tracked
from reprtune.record.view import StudyView
from reprtune.record.workers import forget_worker
from reprtune.settings import Settings, hang_seconds
from reprtune.states.store import StateStore
from reprtune.study.queueing import FAULT, refill
from reprtune.tracking.elsewhere import FACT, store_run
from reprtune.tracking.events import STUDY_KEY, end_event
from reprtune.tracking.journal import journal_for
from reprtune.tracking.shipper import Shipper, ShipResult
from reprtune.work.children import child_environment, start_tracker
from reprtune.work.endings import how_it_ended, unfinished
from reprtune.work.mend_runs import Mended, mend_runs
from reprtune.work.outbox import LONGEST, Outbox
from reprtune.work.process import EXIT_CODES, Known, Left, MustLeave, WorkerMessage, worker_name
from reprtune.work.pulse import Listener, Pulse
from reprtune.work.queue import queues
from reprtune.work.reaper import Reaper
from reprtune.work.said import Once, repeated
from reprtune.work.shipping import mend_first, shipping
from reprtune.work.tickets import Tickets

MAX_RESTARTS = 3  # of one worker; those of which each began a slot before it lost its device are not counted
WAIT_SECONDS = 0.25
LAST_WORD_SECONDS = 10.0  # that a worker waits for its launcher to read what it said at the end
Observer = Callable[[int, Any], None]


@dataclass
class _Child:
    index: int
    process: Any
    pipe: connection.Connection
    listener: Listener | None = None
    fatal: ReprtuneError | None = None
    left: Left | None = None
    device: str | None = None
    busy: int | None = None  # id of the trial that it trains
    crash: str = ""  # the error of its own whose traceback it printed

    @property
    def ended(self) -> str:
        return how_it_ended(self.process.exitcode, self.crash)


@dataclass(frozen=True)
class Summary:
    """How a run ended. `pending`: slots not finished, here or elsewhere."""

    study: StudyRecord
    pending: int
    interrupted: bool
    shipped: ShipResult
    mended: Mended


@dataclass
class Launcher:
    """Runs workers on this machine until a study has nothing left to take.

    Args:
        name: of the study. n_workers: processes. n_trials: begin at most so many slots; None = all.
        draw: makes a trial's page from what its worker wrote, where it is sent from; see `Shipper`.
        observe: called with (worker, what it reports). say: one sentence for a person.
        accept_code: go on although the code here is not the study's.
        until: when the workers are to leave, in seconds since 1970; None = when nothing is left.
    """

    settings: Settings
    name: str
    n_workers: int
    n_trials: int | None
    draw: Callable[[str], str]
    observe: Observer
    say: Callable[[str], None]
    accept_code: bool = False
    until: float | None = None
    _children: list[_Child] = field(default_factory=list)
    _restarts: Counter[int] = field(default_factory=Counter)  # by index of the worker
    _crashes: list[str] = field(default_factory=list)  # how workers ended that were not to end
    _missing: list[_Child] = field(default_factory=list)  # ended before the work was done, and not replaced
    _uncapturable: dict[str, str] = field(default_factory=dict)
    _signals: list[int] = field(default_factory=list)
    _told: str = ""
    _is_over: bool = False  # is it the time at which they leave?
    _fatal: ReprtuneError | None = None

    def __post_init__(self) -> None:
        self._repeat, self._patience = Once(self.say), hang_seconds()

    def run(self) -> Summary:
        """Work until the study has nothing left to take.

        Raises:
            ReprtuneError: what stopped every worker: data, storage or the folder of states.
        """
        with repeated(self._repeat), signals.handled(self._asked, signals.REPEATED):
            return self._run()

    def _run(self) -> Summary:
        start_tracker()
        check_place(self.settings.storage_url)
        storage = open_storage(self.settings.storage_url)
        study = read_study(storage, self.name, histories=False)
        view = StudyView(storage, self.name)
        Reaper(storage, self.name, StateStore(self.settings.states)).look()  # of a run before
        left = _pending(view)
        context = multiprocessing.get_context("spawn")
        tickets = Tickets(context, self.n_trials)
        shipper = Shipper(self.settings, study.spec, study.instance, self.say, self.draw, study.facts)
        mend = partial(mend_first, self.settings, storage, self.name, shipper, self.draw, self._repeat)
        with shipping(shipper, mend), self._ctrl_c_asks():
            for index in range(0 if self._signals else min(self.n_workers, left)):
                self._spawn(context, tickets, index)
            self._watch(context, tickets, view)
        if self._fatal is not None:
            shipper.sync(seconds=60.0)
            raise self._fatal
        retried(partial(refill, view))  # should the last worker have died between its trial and this
        pending = _pending(view)
        state = "running" if pending else "complete"
        journal_for(self.settings, self.name).append(STUDY_KEY, end_event(state))
        shipped = shipper.sync(seconds=60.0, verify=True)
        study = retried(partial(read_study, storage, self.name))
        if study.pending() == 0:
            forget_beginnings(self.settings, study.digest)
        if self._missing and pending and not self._signals:
            raise self._unfinished(pending)
        mended = Mended()
        if shipped.error is None:
            mended = mend_runs(self.settings, study, self.draw, seconds=60.0)
            if FACT in mended.facts and not store_run(study.facts):  # the first store that its runs went to
                write_tracked(storage, self.name, mended.facts[FACT])
        return Summary(study, pending, bool(self._signals), shipped, mended)

    def _unfinished(self, pending: int) -> ReprtuneError:
        return unfinished(self.name, pending, [child.left for child in self._missing], self._crashes)

    def _spawn(self, context: Any, tickets: Tickets, index: int, device: str | None = None) -> None:
        known = Known(device, dict(self._uncapturable))
        (here, there), pulse = context.Pipe(duplex=False), Pulse(context)
        process = context.Process(
            target=work,
            args=(
                self.settings,
                self.name,
                index,
                tickets,
                there,
                known,
                self.accept_code,
                pulse,
            ),
            daemon=False,
        )
        with child_environment():
            process.start()
        there.close()
        self._children.append(_Child(index, process, here, Listener(pulse, process.pid)))

    def _watch(self, context: Any, tickets: Tickets, view: StudyView) -> None:
        while self._children:
            self._tell_of_signal()
            self._look_at_the_clock()
            self._end_the_stuck(view)
            if self._signals or self._is_over:
                self._stop(signal.SIGTERM)  # again, for those that were still starting and could not hear
            for pipe in connection.wait([c.pipe for c in self._children], timeout=WAIT_SECONDS):
                child = next(c for c in self._children if c.pipe is pipe)
                try:
                    message = child.pipe.recv()
                except (EOFError, OSError):
                    self._children.remove(child)
                    self._bury(child, context, tickets, view)
                    continue
                self._hear(child, message, view)

    def _hear(self, child: _Child, message: WorkerMessage | Left | ReprtuneError, view: StudyView) -> None:
        if isinstance(message, Left):
            child.left, child.device = message, message.device
        elif isinstance(message, ReprtuneError):
            child.fatal = message
        elif message.kind == "said":
            self._repeat(message.title)
        elif message.kind == "busy":
            child.busy, child.device = message.trial_id, message.device
        elif message.kind == "crash":
            child.crash = message.error
        else:
            self.observe(child.index, _counted(message, view) if message.kind == "end" else message)

    def _end_the_stuck(self, view: StudyView) -> None:
        """Kill workers in which Python itself does not run any more: nobody in there can end them, or is heard of."""
        for child in self._children:
            away = child.listener.seconds_away() if child.listener else 0.0
            if not 0 < self._patience < away or child.left is not None:
                continue
            if child.busy is not None:  # its slot is lost, and counts how often
                reason = f"Python has not run in it for {away:.0f} s, native code keeps its lock"
                child.left = Left("hung", reason, child.device or "", began=True)
                with contextlib.suppress(StorageError, UpdateFinishedTrialError, KeyError):
                    retried(partial(view.storage.set_trial_user_attr, child.busy, FAULT, reason), seconds=0)
            os.kill(child.process.pid, signal.SIGKILL)

    def _bury(self, child: _Child, context: Any, tickets: Tickets, view: StudyView) -> None:
        """A worker has ended: by itself, with an error that stops all, because it had to, or it was killed."""
        child.process.join()
        if child.fatal is not None:
            self._fatal = self._fatal or child.fatal
            self._stop(signal.SIGTERM)
        elif child.left is not None or child.process.exitcode != 0:
            self._inherit(child, tickets, view)
            if not self._signals and self._fatal is None and not self._is_over:
                self._replace(child, context, tickets)

    def _inherit(self, child: _Child, tickets: Tickets, view: StudyView) -> None:
        """Give the slots, tickets and claims of a dead worker to the others."""
        worker, busy = worker_name(child.index, child.process.pid), child.busy
        if busy is not None and retried(partial(view.storage.get_trial, busy)).state.is_finished():
            busy = None  # it died between two trials
        StateStore(self.settings.states).release(worker)
        retried(partial(forget_worker, view.storage, self.name, worker))
        for queue in retried(partial(queues, view)):
            for _ in range(retried(partial(queue.release_worker, worker, busy))):
                tickets.give_back()
        retried(partial(refill, view))

    def _replace(self, child: _Child, context: Any, tickets: Tickets) -> None:
        """Start another in its place, unless it has ended too often with nothing that bounds how often."""
        left, index = child.left, child.index
        ended = f"Worker {index} ended {child.ended}"
        if left is not None and left.why == "failing":
            self._missing.append(child)
            self.say(f"{ended}: {left.reason}. No other takes its place.")
            return
        if left is not None and left.why == "hung":  # the slot counts how often
            self.say(f"{ended}: {left.reason}; its slot is queued again, and another worker takes its place.")
        elif left is not None and left.why == "capture":
            self._uncapturable[left.network] = left.reason
            self.say(
                f"{ended}: a step could not be captured as a CUDA graph ({left.reason}); another worker takes "
                "its place, and trains such networks step by step."
            )
        elif left is not None and left.began:  # the slot counts how often it was lost
            self.say(
                f"{ended}: nothing can be computed on {left.device} any more in its process ({left.reason}); "
                "its slot is queued again, and another worker takes its place."
            )
        else:
            self._crashes.append(child.ended)
            why = "; its slot is queued again"
            if left is not None:
                why = f": nothing can be computed on {left.device} ({left.reason})"
            if self._restarts[index] >= MAX_RESTARTS:
                self._missing.append(child)
                self.say(f"{ended}{why}, and no other takes its place.")
                return
            self._restarts[index] += 1
            count = f"({self._restarts[index]} of {MAX_RESTARTS})"
            self.say(f"{ended}{why}, and another worker takes its place {count}.")
        self._spawn(context, tickets, index, child.device)

    def _stop(self, number: int) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.process.pid, number)

    def _asked(self, number: int, _frame: Any) -> None:  # prints nothing: it may interrupt a print
        self._signals.append(number)
        is_impatient = number == signal.SIGINT and self._by_hand() > 1  # schedulers repeat their SIGTERM
        self._stop(signal.SIGKILL if is_impatient else signal.SIGTERM)

    @contextlib.contextmanager
    def _ctrl_c_asks(self) -> Iterator[None]:
        """While there are workers; else it ends what waits here for a database or a tracker."""
        with signals.handled(self._asked, (signal.SIGINT,)):
            try:
                yield
            finally:
                self._tell_of_signal()

    def _look_at_the_clock(self) -> None:
        if self.until is not None and not self._is_over and time.time() >= self.until:
            self._is_over = True
            self.say("The time is up: the workers save where they stand, give their slots back and leave.")

    def _tell_of_signal(self) -> None:
        if self._signals:
            once_more = " Ctrl-C once more to kill them." if self._by_hand() else ""
            text = f"Stopping: the workers save where they stand.{once_more}"
            if text != self._told:
                self._told = text
                self.say(text)

    def _by_hand(self) -> int:
        return self._signals.count(signal.SIGINT)


def work(
    settings: Settings,
    name: str,
    index: int,
    tickets: Tickets,
    pipe: connection.Connection,
    known: Known | None = None,
    accept_code: bool = False,
    pulse: Pulse | None = None,
) -> None:
    """The body of a worker process."""
    settings.learn_passwords()
    guard_output()
    leaving = signals.StopRequest()
    leaving.listen()
    signals.let_through()
    parent = os.getppid()

    outbox = Outbox(pipe)

    def report(what: WorkerMessage | Left | ReprtuneError) -> None:
        try:
            outbox.send(what)
        except OSError:
            leaving.asked = True
        if os.getppid() != parent:
            leaving.asked = True  # the launcher was killed: nobody would ship or bury us

    from reprtune.work.worker import Worker  # loads torch, which the launcher itself does without

    def abandon(left: Left) -> None:
        report(left)
        with contextlib.suppress(OSError):
            outbox.flush(LAST_WORD_SECONDS)
        sys.stderr.flush()
        os._exit(EXIT_CODES[left.why])  # Python's own end would call the device again, and may abort

    try:
        with repeated(lambda text: report(WorkerMessage("said", text))):
            worker = Worker(
                settings, name, index, tickets, report, leaving,
                known=known, accept_code=accept_code, abandon=abandon, pulse=pulse,
            )  # fmt: skip
            worker.run()
    except MustLeave as leave:
        abandon(leave.left)
    except ReprtuneError as error:
        report(ReprtuneError(error.message, error.hint))
        raise SystemExit(1) from None
    except Exception as error:  # multiprocessing prints its traceback
        report(WorkerMessage("crash", error=f"{type(error).__name__}: {error}"[:LONGEST]))
        raise
    finally:
        with contextlib.suppress(OSError):
            outbox.flush(LAST_WORD_SECONDS)


def _pending(view: StudyView) -> int:
    return retried(view.record).pending()


def _counted(end: WorkerMessage, view: StudyView) -> WorkerMessage:
    """With how the study stands now, whoever works on it."""
    with contextlib.suppress(StorageError, StudyError):
        study = retried(view.record, seconds=0)
        return replace(end, finished=study.planned() - study.pending(), slots=study.planned())
    return end


def forget_beginnings(settings: Settings, digest: str) -> None:
    """Delete the states kept for slots that are now all finished."""
    store = StateStore(settings.states)
    store.delete(store.noted(digest, "beginning") - store.noted(digest, "end"))
