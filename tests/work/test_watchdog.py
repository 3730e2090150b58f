"""A training that stands still is noticed, and one that is slow is not."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from reprtune.errors import SpecError
from reprtune.settings import hang_seconds
from reprtune.work.watchdog import Hang, Watchdog

TICK = 0.02


class Work:
    """Something held by a worker. `at`: how far it is; None while nothing is computed."""

    at: int | None = 0
    epoch = 0.0

    def pulse(self) -> int | None:
        return self.at

    def epoch_seconds(self) -> float:
        return self.epoch


@contextmanager
def watched(seconds: float = 0.3) -> Iterator[tuple[Work, list[Hang]]]:
    work, found = Work(), list[Hang]()
    with closing(Watchdog([work], seconds, lambda _, hang: found.append(hang), tick=TICK)):
        yield work, found


def here_it_stands(until: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        time.sleep(0.01)


def test_what_stands_still_is_found_once_with_the_line_at_which_it_does() -> None:
    """And the lines that led there."""
    with watched() as (_, found):
        here_it_stands(lambda: found)
        time.sleep(0.5)
    (hang,) = found
    assert 0.3 < hang.seconds < 3 and "here_it_stands" in hang.where and __file__ in hang.where
    assert "test_what_stands_still_is_found_once" in hang.stack


@pytest.mark.parametrize("still", ["gets on", "computes nothing", "is switched off"])
def test_what_does_not_stand_still_is_left_alone(still: str) -> None:
    """However long it takes."""
    with watched(0 if still == "is switched off" else 0.3) as (work, found):
        for n in range(40):
            work.at = None if still == "computes nothing" else n if still == "gets on" else 0
            time.sleep(0.025)
    assert not found


def test_a_slow_training_has_more_time() -> None:
    """Twenty times what its slowest step took, or an epoch at its speed: an evaluation that comes for the first time
    is not slower than that."""
    with watched() as (work, found):
        time.sleep(0.15)
        work.at = 1  # its slowest step took 0.15 s, and so it has 3 s
        here_it_stands(lambda: found, 1.5)
        assert not found
        here_it_stands(lambda: found)
        assert found and found[0].seconds > 2.5
    with watched() as (work, found):
        work.epoch = 0.1
        here_it_stands(lambda: found)
    assert found[0].seconds > 2


def test_between_two_looks_it_holds_nothing() -> None:
    """A trial that has ended goes at once, and its network with it: the worker does not wait for the next look."""
    held = [Work()]
    looked = threading.Event()
    held[0].pulse = lambda: looked.set() or 1  # type: ignore[method-assign,func-returns-value]
    with closing(Watchdog(held, 60, lambda *_: None, tick=1.0)):
        assert looked.wait(10)
        time.sleep(0.2)
        ended = weakref.ref(held.pop())
        assert ended() is None


def test_it_ends_with_what_it_watches() -> None:
    """No thread is left."""
    with watched(60):
        assert any(thread.name == "watchdog" for thread in threading.enumerate())
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())


def test_how_long_is_asked_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes, or what it says; 0 = for ever; what is no number is refused by name."""
    assert hang_seconds() == 600
    monkeypatch.setenv("REPRTUNE_HANG_SECONDS", "0")
    assert hang_seconds() == 0
    monkeypatch.setenv("REPRTUNE_HANG_SECONDS", "-5")
    with pytest.raises(SpecError, match="REPRTUNE_HANG_SECONDS must be a whole number"):
        hang_seconds()
