"""How many slots may still be begun, and what workers tell their launcher: nobody waits for a process that is gone."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from contextlib import closing

import pytest

from reprtune.work.outbox import Outbox
from reprtune.work.process import Left, WorkerMessage
from reprtune.work.tickets import Tickets

FORK = multiprocessing.get_context("fork")


def test_tickets_run_out_and_can_be_given_back() -> None:
    """None means no limit."""
    tickets = Tickets(multiprocessing.get_context("spawn"), 2)
    assert [tickets.take() for _ in range(3)] == [True, True, False]
    tickets.give_back()
    assert tickets.take() and not tickets.take()
    unlimited = Tickets(multiprocessing.get_context("spawn"), None)
    unlimited.give_back()
    assert all(unlimited.take() for _ in range(100))


def take_for_ever(tickets: Tickets) -> None:
    while True:
        tickets.take()
        tickets.give_back()


def take_one(tickets: Tickets) -> None:
    tickets.take()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of newer Pythons, where threads are about
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_is_killed_or_stopped_while_it_takes_a_ticket_stops_nobody(number: int) -> None:
    """Wherever in it: of thirty that do nothing else, each is ended somewhere else."""
    tickets, rng = Tickets(FORK, 1000), random.Random(0)
    for _ in range(30):
        taker = FORK.Process(target=take_for_ever, args=(tickets,))
        taker.start()
        time.sleep(0.002 + 0.004 * rng.random())
        assert taker.pid is not None
        os.kill(taker.pid, number)
        other = FORK.Process(target=take_one, args=(tickets,))
        other.start()
        other.join(10)
        try:
            assert other.exitcode == 0, "it waits"
        finally:
            other.kill()
            taker.kill()
            taker.join()


def test_a_launcher_that_does_not_read_stops_no_training() -> None:
    """Of 5,000 reports that pass only as many are kept as the pipe holds; of the others none is lost or comes too
    late."""
    here, there = FORK.Pipe(duplex=False)
    with closing(here), closing(there):
        outbox, begun = Outbox(there), time.monotonic()
        for step in range(5000):
            if step % 100 == 0:
                outbox.send(WorkerMessage("begin", f"slot {step}"))
            outbox.send(WorkerMessage("progress", "x" * 100, step))
        outbox.send(Left("device", "gone", "cuda:0"))
        assert time.monotonic() - begun < 5, "it waited"
        heard = []
        while not heard or not isinstance(heard[-1], Left):
            heard.append(here.recv())
            outbox.flush(0)
        assert [m.title for m in heard if getattr(m, "kind", "") == "begin"] == [
            f"slot {step}" for step in range(0, 5000, 100)
        ]


def test_a_launcher_that_is_gone_is_noticed() -> None:
    """As an error of the pipe."""
    here, there = FORK.Pipe(duplex=False)
    here.close()
    with closing(there), pytest.raises(BrokenPipeError):
        Outbox(there).send(WorkerMessage("begin"))
