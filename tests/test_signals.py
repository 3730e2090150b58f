"""What a process does when it is asked to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from reprtune import signals
from tests.conftest import ROOT

BOTH = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def send(number: signal.Signals) -> None:
    """To this thread: what a test before has left running beside it may not have been told to hold it back."""
    signal.pthread_kill(threading.get_ident(), number)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (*BOTH, signal.SIGHUP)]


@pytest.mark.parametrize("number", BOTH)
def test_a_request_is_remembered_and_ends_nothing(number: signal.Signals) -> None:
    """Inside the block; afterwards the handlers are those of before."""
    before = handlers()
    with signals.remembered() as asked:
        assert not asked()
        send(number)
        assert asked() and asked.asked
    assert handlers() == before


@pytest.mark.parametrize(
    ("sent", "ends", "passing"),
    [(True, True, True), (True, False, False), (False, True, False)],
    ids=["asked", "goes on", "not asked"],
)
def test_a_process_that_was_asked_to_end_lets_pass_what_is_repeated(
    sent: bool, ends: bool, passing: bool
) -> None:
    """SIGTERM and SIGUSR1, as schedulers send them; Ctrl-C ends it at once. One that goes on lets nothing pass."""
    before = [signal.getsignal(number) for number in BOTH]
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without it
        with signals.remembered(ends=ends):
            if sent:
                send(signal.SIGTERM)
        ignored = [signal.getsignal(number) == signal.SIG_IGN for number in BOTH]
    finally:
        for number, old in zip(BOTH, before, strict=True):
            signal.signal(number, old)
    assert ignored == [False, passing, passing]


@pytest.mark.parametrize("number", BOTH)
def test_a_handler_is_called_and_put_back_also_after_an_error(number: signal.Signals) -> None:
    """With the signal's number."""
    before, heard = handlers(), []

    def fail() -> None:
        with signals.handled(lambda n, _: heard.append(n)):
            send(number)
            raise ValueError("out")

    with pytest.raises(ValueError, match="out"):
        fail()
    assert (heard, handlers()) == ([number], before)


@pytest.mark.parametrize(
    ("given", "number"), [((), signal.SIGTERM), ((signal.SIGINT, signal.SIGHUP), signal.SIGHUP)]
)
def test_like_ctrl_c_raises_keyboard_interrupt(
    given: tuple[signal.Signals, ...], number: signal.Signals
) -> None:
    """SIGTERM where none is named, else those that are."""
    before = handlers()

    def wait() -> None:
        with signals.like_ctrl_c(*given):
            send(number)
            signal.pause()

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert handlers() == before


@pytest.mark.parametrize("number", BOTH)
def test_what_is_held_back_comes_when_it_is_let_through(number: signal.Signals) -> None:
    """None is lost: not for this process, which hears it after the block, nor before it."""
    with signals.remembered() as asked:
        with signals.held_back():
            send(number)
            assert not asked()
        assert asked()


CHILD = """
import signal, sys
from reprtune import signals
{how}
print("ready", flush=True)
sys.stdin.readline()
signals.let_through()
print("asked" if asked() else "not asked", flush=True)
"""


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("asked = signals.StopRequest(); asked.listen()", "asked"),
        ("asked = signals.StopRequest(); signals.ignore()", "not asked"),
    ],
)
def test_a_child_hears_what_was_held_back_when_it_was_started(
    number: signal.Signals, how: str, said: str
) -> None:
    """A signal that comes before it can answer waits; a child that leaves it to others is not asked."""
    with signals.held_back():
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(how=how)], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        child.send_signal(number)
    out, _ = child.communicate("go on\n", timeout=60)
    assert (out.split("\n")[:2], child.returncode) == (["ready", said], 0)
