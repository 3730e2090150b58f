"""Whom the launcher replaces, and what becomes of the slots of those that ended; without processes."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reprtune.errors import ReprtuneError
from reprtune.record.view import StudyView
from reprtune.settings import Settings
from reprtune.work.launch import Launcher, _Child
from reprtune.work.process import EXIT_CODES, Left, WorkerMessage, worker_name
from reprtune.work.queue import queues
from tests.stored import new_study
from tests.training.broken_cuda import SAID
from tests.work.queueing import end, outcomes, take
from tests.work.tiny_worker import Unlimited


@dataclass
class Ended:
    """A process that has ended."""

    exitcode: int
    pid: int = 1

    def join(self) -> None:
        pass


class Replacing:
    """A launcher without processes.

    Attributes:
        started: (worker, its device, what it is told cannot be captured) of every worker that it started.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(runs_dir=folder, device="cpu")
        self.said: list[str] = []
        self.launcher = Launcher(self.settings, "tiny", 1, None, str, lambda *_: None, self.said.append)
        self.started: list[tuple[int, str | None, dict[str, str]]] = []
        self.storage, _spec = new_study(folder / "reprtune.db")
        self.view = StudyView(self.storage, "tiny")
        self.queues = queues(self.view)

        def spawn(_context: Any, _tickets: Any, index: int, device: str | None = None) -> None:
            self.started.append((index, device, dict(self.launcher._uncapturable)))

        monkeypatch.setattr(self.launcher, "_spawn", spawn)

    def child(self, index: int, code: int) -> _Child:
        return _Child(index, Ended(code), None)  # type: ignore[arg-type]

    def bury(self, index: int, code: int, *messages: Any) -> None:
        child = self.child(index, code)
        for message in messages:
            self.launcher._hear(child, message, self.view)
        self.launcher._bury(child, None, Unlimited(), self.view)  # type: ignore[arg-type]


@pytest.fixture
def replacing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replacing:
    return Replacing(tmp_path, monkeypatch)


def lost(index: int, *, began: bool) -> Left:
    return Left("device", SAID, f"cuda:{index}", began=began)


def test_processes_that_a_slot_took_are_always_replaced(replacing: Replacing) -> None:
    """On the same device. The slot counts them."""
    for _ in range(10):
        replacing.bury(1, 71, lost(1, began=True))
    assert replacing.started == [(1, "cuda:1", {})] * 10


def test_each_worker_is_replaced_so_often_for_other_reasons(replacing: Replacing) -> None:
    """Killed, or on a device that is dead from the start: MAX_RESTARTS times, and its neighbours as often."""
    for _ in range(5):
        replacing.bury(0, -9, WorkerMessage("busy", trial_id=1, device="cuda:0"))
        replacing.bury(1, 71, lost(1, began=False))
    assert replacing.started == [(0, "cuda:0", {}), (1, "cuda:1", {})] * 3
    error = replacing.launcher._unfinished(4)
    assert "cuda:1" in error.message and "cuda:0" not in error.message and "4 slots are left" in error.message


def test_what_cannot_be_captured_is_handed_on_and_is_no_crash(replacing: Replacing) -> None:
    """To every worker that is started from then on."""
    for n in range(5):
        replacing.bury(0, 75, Left("capture", "why", "cuda:0", network=f"n{n}", began=True))
    replacing.bury(1, -9)
    assert replacing.started[0] == (0, "cuda:0", {"n0": "why"})
    assert replacing.started[-1] == (1, None, {f"n{n}": "why" for n in range(5)})


def test_nobody_is_replaced_once_an_error_stops_all(replacing: Replacing) -> None:
    """A worker that is killed while the others leave."""
    replacing.bury(0, 1, ReprtuneError("The disk is full.", "Free some."))
    replacing.bury(1, -9)
    replacing.bury(2, 71, lost(2, began=True))
    assert replacing.started == [] and str(replacing.launcher._fatal) == "The disk is full.\n  Free some."


def test_of_two_slots_that_a_worker_held_the_one_that_it_trained_is_lost(replacing: Replacing) -> None:
    """The other one only waited: it may not be given up for what its neighbour does. Where the launcher does not
    know which it was, both are."""
    search = replacing.queues[1]
    name = worker_name(0, 1)
    trials = [take(search, name) for _ in range(3)]
    replacing.bury(0, -9, WorkerMessage("busy", trial_id=trials[1]._trial_id, device="cpu"))
    assert outcomes(search)[:3] == [(0, "interrupted"), (1, "lost"), (2, "interrupted")]
    again = [take(search, name) for _ in range(2)]
    assert [t.params for t in again] == [t.params for t in trials[:2]]
    replacing.bury(0, -9, WorkerMessage("busy", trial_id=trials[1]._trial_id, device="cpu"))
    assert [end for _, end in outcomes(search)].count("lost") == 3


def test_a_worker_in_which_everything_fails_is_not_replaced(replacing: Replacing) -> None:
    """Nor counted as a crash; that, its error and the way out are said."""
    replacing.bury(
        0, 76, Left("failing", "3 slots in a row failed, the last with slot 2: E: x", "cpu", began=True)
    )
    assert replacing.started == [] and "3 slots in a row failed" in replacing.said[-1]
    error = replacing.launcher._unfinished(4)
    assert (
        error.message
        == "1 worker left, for 3 slots in a row failed, the last with slot 2: E: x; 4 slots are left."
    )
    assert "study repair tiny" in error.hint


def test_a_worker_in_which_a_training_stood_still_is_always_replaced(replacing: Replacing) -> None:
    """On the same device; the slot counts how often."""
    for _ in range(10):
        replacing.bury(0, 77, Left("hung", "slot 1 stood still: no progress", "cpu", began=True))
    assert replacing.started == [(0, "cpu", {})] * 10
    assert replacing.said[-1].startswith(
        "Worker 0 ended with code 77: slot 1 stood still: no progress; its slot"
    )


@pytest.mark.parametrize(
    ("code", "messages", "says", "hints"),
    [
        (-9, (), "4 workers ended that should not have (4 by SIGKILL)", "where memory runs out"),
        (-11, (), "(4 by SIGSEGV)", "They said nothing of why."),
        (3, (), "(4 with code 3)", "They said nothing of why."),
        (1, (WorkerMessage("crash", error="TypeError: x"),), "(4 with TypeError: x)", "tracebacks"),
    ],
)
def test_of_a_worker_that_died_only_what_is_known_is_said(
    replacing: Replacing, code: int, messages: tuple[WorkerMessage, ...], says: str, hints: str
) -> None:
    """Where nothing was printed, nobody is sent to look for it."""
    for _ in range(4):
        replacing.bury(0, code, *messages)
    error = replacing.launcher._unfinished(2)
    assert says in error.message and hints in error.hint
    assert ("printed above" in error.hint) == (code == 1)


def test_an_end_is_told_with_what_is_finished_in_the_study(replacing: Replacing) -> None:
    """By whoever finished it; where that cannot be read now, it is told without."""
    heard: list[WorkerMessage] = []
    replacing.launcher.observe = lambda _worker, message: heard.append(message)
    child, told = replacing.child(0, 0), WorkerMessage("end", "slot 0", outcome="complete")
    queue = replacing.queues[-1]
    for _ in range(2):
        end(queue, take(queue))
    slots = len({t.user_attrs["slot"] for t in queue.trials()})
    replacing.launcher._hear(child, told, replacing.view)
    assert heard[-1].finished == 2 and heard[-1].slots >= slots and heard[-1].title == "slot 0"
    replacing.storage.delete_study(replacing.storage.get_study_id_from_name("tiny"))
    replacing.launcher._hear(child, told, replacing.view)
    assert heard[-1] == told


@pytest.mark.parametrize(
    ("asked", "once_more"),
    [([signal.SIGTERM] * 3, False), ([signal.SIGINT], True), ([signal.SIGTERM, signal.SIGINT], True)],
    ids=["scheduler", "hand", "both"],
)
def test_ctrl_c_is_spoken_of_where_it_was_used(
    replacing: Replacing, asked: list[signal.Signals], once_more: bool
) -> None:
    """A scheduler has no keyboard; and the first Ctrl-C after its SIGTERM kills nobody."""
    stopped: list[int] = []
    replacing.launcher._stop = stopped.append  # type: ignore[method-assign]
    for number in asked:
        replacing.launcher._asked(number, None)
        replacing.launcher._tell_of_signal()
    assert [said.startswith("Stopping: the workers save where they stand.") for said in replacing.said] == [
        True
    ] * len(set(asked))
    assert ("Ctrl-C once more" in replacing.said[-1]) == once_more and stopped == [signal.SIGTERM] * len(
        asked
    )
    for _ in range(2):
        replacing.launcher._asked(signal.SIGINT, None)
    assert stopped[-1] == signal.SIGKILL


def test_exit_codes_are_their_own() -> None:
    """Not those of Python, of a shell or of a signal."""
    assert EXIT_CODES == {"device": 71, "capture": 75, "failing": 76, "hung": 77}
