"""A worker in which native code keeps Python's lock: only its launcher can notice that, and end it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reprtune.record.trials import outcome
from reprtune.study.queueing import refill
from reprtune.work.process import Left
from reprtune.work.pulse import Listener, Pulse
from tests.work.queueing import take
from tests.work.test_replacing import Replacing, replacing  # noqa: F401 - a fixture

CONTEXT = multiprocessing.get_context("fork")


def beat(pulse: Pulse, hold: Any) -> None:
    """As a worker does from a thread; told to, its main thread calls C without letting go of Python's lock."""

    def again() -> None:
        while True:
            pulse.beat()
            time.sleep(0.02)

    threading.Thread(target=again, daemon=True).start()
    hold.wait()
    ctypes.PyDLL(None).sleep(60)


@pytest.fixture
def worker() -> Iterator[tuple[Listener, Any, Any]]:
    """A listener, the process that it listens to, and what makes that hang."""
    pulse, hold = Pulse(CONTEXT), CONTEXT.Event()
    process = CONTEXT.Process(target=beat, args=(pulse, hold), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
        process.start()
    while pulse.count == 0:
        time.sleep(0.01)
    yield Listener(pulse, process.pid or 0), process, hold
    process.kill()
    process.join()


def longest(listener: Listener, seconds: float, until: Callable[[float], bool] = lambda _: False) -> float:
    """The longest silence within so many seconds of listening."""
    found, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end and not until(found):
        time.sleep(0.05)
        found = max(found, listener.seconds_away())
    return found


def test_a_process_that_native_code_holds_is_silent(worker: tuple[Listener, Any, Any]) -> None:
    """And one that computes is not."""
    listener, _process, hold = worker
    assert longest(listener, 1.0) < 1.0
    hold.set()
    assert longest(listener, 60.0, until=lambda away: away > 3.0) > 3.0


def test_a_process_that_is_stopped_is_not_taken_for_one_that_hangs(worker: tuple[Listener, Any, Any]) -> None:
    """Neither while it is stopped nor in the moment in which it goes on, before its first beat."""
    listener, process, _hold = worker
    os.kill(process.pid, signal.SIGSTOP)
    assert longest(listener, 5.0) < 3.0
    os.kill(process.pid, signal.SIGCONT)
    assert longest(listener, 1.0) < 3.0


def test_a_launcher_that_slept_and_a_worker_that_has_not_begun_or_rests_count_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour between two looks is no hour of silence."""
    now = [0.0]
    monkeypatch.setattr("reprtune.work.pulse.time.monotonic", lambda: now[0])
    pulse = Pulse(CONTEXT)
    listener = Listener(pulse, os.getpid())

    def look(seconds: float) -> float:
        now[0] += seconds
        return listener.seconds_away()

    assert look(1.0) == look(1.0) == 0.0
    pulse.beat()
    assert look(1.0) == 0.0
    assert [look(1.0), look(3600.0), look(1.0)] == [1.0, 3.0, 4.0]
    pulse.rest()
    assert look(1.0) == 0.0


class Silent:
    def seconds_away(self) -> float:
        return 700.0


def test_the_launcher_kills_who_is_silent_and_the_slot_says_why(
    replacing: Replacing,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once; its slot is lost with the reason, and another worker takes its place as after any training that stood
    still. One that is silent for less is left alone; so is everyone where the watchdog is off."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr("reprtune.work.launch.os.kill", lambda pid, number: killed.append((pid, number)))
    child, launcher, queue = replacing.child(0, 0), replacing.launcher, replacing.queues[-1]
    trial = take(queue)
    child.listener, child.busy = Silent(), trial._trial_id  # type: ignore[assignment]
    launcher._children.append(child)
    for patience, times in ((0.0, 0), (800.0, 0), (600.0, 1), (600.0, 1)):
        launcher._patience = patience
        launcher._end_the_stuck(replacing.view)
        assert killed == [(child.process.pid, signal.SIGKILL)] * times
    assert isinstance(child.left, Left) and child.left.why == "hung"
    fault = queue.storage.get_trial(trial._trial_id).user_attrs["fault"]
    assert "Python has not run in it for 700 s" in fault == child.left.reason


@pytest.mark.parametrize(
    ("steps", "outcomes_then"), [((0, 0, 0), "error"), ((2, 4, 6), "waiting")], ids=["still", "on"]
)
def test_a_slot_that_stands_still_three_times_is_given_up(
    replacing: Replacing,  # noqa: F811
    steps: tuple[int, ...],
    outcomes_then: str,
) -> None:
    """Where it got no further meanwhile; one that does is tried again for as long as it takes."""
    queue = replacing.queues[-1]
    for step in steps:
        trial = take(queue)
        assert trial.user_attrs["slot"] == 0
        trial.set_user_attr("progress", {"step": step, "stored": step})
        trial.set_user_attr("result", {"outcome": "hung", "error": "no progress for 600 s"})
        queue.tell(trial, "hung", None)
        refill(queue.view)
    last = [t for t in queue.trials() if t.user_attrs["slot"] == 0][-1]
    assert outcome(last) == outcomes_then
    if outcomes_then == "error":
        said = last.user_attrs["result"]["error"]
        assert said == "given up: it stood still 3 times (no progress for 600 s)"
