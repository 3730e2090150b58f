"""How long networks take: turns, medians, ratios, and what is written down of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reprtune.training.export import latency as module
from reprtune.training.export.latency import plain, timed
from reprtune.training.platform.device import threads

X = torch.zeros(3, 1, 8, 8)


def pausing(seconds: float, calls: list[float] | None = None) -> Callable[[Tensor], Tensor]:
    """A network that takes this long, and notes that it was called."""

    def network(x: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        if calls is not None:
            calls.append(seconds)
        time.sleep(seconds)
        return x

    return network


def test_times_and_ratios_are_those_of_the_networks() -> None:
    """Networks that wait 2 and 6 ms take that long at least; the first one's ratio to itself is 1."""
    found = timed([pausing(0.002), pausing(0.006)], X, n=9)
    first, second = found.seconds
    assert 0.002 <= first.low <= first.median <= first.high
    assert 0.006 <= second.low <= second.median <= second.high
    assert (found.ratios[0].low, found.ratios[0].median, found.ratios[0].high) == (1, 1, 1)
    assert (found.batch, first.n, found.ratios[1].n) == (3, 9, 9)


def test_ratios_are_of_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is ten times slower in every other round leaves the ratio: times 1, 10, 1, ... and 2, 20, 2, ..."""
    rounds = [1.0] * module.WARM_UP + [1.0, 10.0, 1.0, 10.0, 1.0]
    seen = {"a": iter(rounds), "b": iter(rounds)}
    monkeypatch.setattr(module, "_call", lambda network, _: next(seen[network]) * (1 + (network == "b")))
    found = timed(["a", "b"], X, n=5)  # type: ignore[list-item]
    assert (found.ratios[1].low, found.ratios[1].median, found.ratios[1].high) == (2, 2, 2)
    assert (found.seconds[0].low, found.seconds[0].median, found.seconds[0].high) == (1, 1, 10)


def test_they_take_turns_and_begin_in_turn() -> None:
    """Each is called once a round, warm-up included; who is first changes."""
    calls: list[float] = []
    timed([pausing(0.0, calls), pausing(0.0001, calls)], X, n=4)
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    assert len(pairs) == 4 + module.WARM_UP
    assert all(set(pair) == {0.0, 0.0001} for pair in pairs)
    assert [pair[0] for pair in pairs[:4]] == [0.0, 0.0001, 0.0, 0.0001]


def test_a_slow_network_ends_it_early() -> None:
    """After the time is over the fewest rounds that tell anything are measured, and no more."""
    assert timed([pausing(0.0)], X, n=50).seconds[0].n == 50
    assert timed([pausing(0.01)], X, n=50, seconds=0.0).seconds[0].n == module.FEWEST


def test_what_is_written_down() -> None:
    """Milliseconds of both, the ratio, the batch, the device and the threads that were set."""
    with threads(2):
        about = plain(timed([pausing(0.002), pausing(0.004)], X, n=5))
    assert about["before"]["median"] >= 2 and about["after"]["median"] >= 4 and about["unit"] == "ms"
    assert set(about["ratio"]) == {"median", "low", "high", "n"} == set(about["before"])
    assert (about["batch"], about["threads"], about["ratio"]["n"]) == (3, 2, 5)
    assert about["device"].startswith("CPU")
