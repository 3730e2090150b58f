"""What may go wrong with a trial, and what comes of it; and where it may be compared."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reprtune.errors import StateError
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Member
from reprtune.training.chain.trial_networks import Interrupted, TrialNetworks
from tests.training.tiny import LOADED_DATA, SPEC, STEPS, assert_same_end, finish, go, spec, stored, until

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda b: b[: len(b) // 2],
    "empty": lambda _: b"",
    "one bit": lambda b: b[:5000] + bytes([b[5000] ^ 4]) + b[5001:],
    "a pickle": lambda _: pickle.dumps([1, 2]),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_states_are_trained_again(store: StateStore, alone: Chain, how: str) -> None:
    """From the state before, or from the start; the end is the same."""
    first = finish(SPEC, store, keep="all")
    for index in (10, 9, 7):
        path = store.path(first.names[index])
        path.write_bytes(DAMAGE[how](path.read_bytes()))
    run = finish(SPEC, store)
    assert run.steps_spent == 16  # from state 8, after the second restore: two epochs are left
    assert_same_end(run, alone)


def test_a_whole_file_that_is_no_state(store: StateStore, alone: Chain) -> None:
    """A pickle with the right checksum: refused without running anything, and trained again."""
    first = finish(SPEC, store)
    for name in (first.names[-1], first.pause_name):
        store.put(name, pickle.dumps({"weights": 1}), replace=True)
    run = finish(SPEC, store)
    assert run.steps_spent == STEPS
    assert_same_end(run, alone)
    assert finish(SPEC, store).steps_spent == 0


def test_a_damaged_pause(store: StateStore, alone: Chain) -> None:
    """The trial continues from the last whole state."""
    with pytest.raises(Interrupted):
        go(Chain(SPEC, LOADED_DATA, store, should_stop=until(20)))
    run = Chain(SPEC, LOADED_DATA, store)
    store.path(run.pause_name).write_bytes(b"")
    go(run)
    assert run.steps_spent == STEPS - 16
    assert_same_end(run, alone)


def test_a_full_disk_stops_the_trial_in_words(
    store: StateStore, alone: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is ours, no file is half-written, the claim is released, and with space it goes on."""
    real, writes = os.replace, iter(range(100))

    def replace(*paths: Path) -> None:
        if next(writes) >= 3:
            raise OSError(28, "No space left on device")
        real(*paths)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(StateError, match="No space left on device"):
        finish(SPEC, store)
    assert len(stored(store)) == 1
    assert not list((store.folder / "claims").iterdir()) and not list((store.folder / "tmp").iterdir())
    monkeypatch.setattr(os, "replace", real)
    run = finish(SPEC, store)
    assert run.steps_spent == STEPS - 16
    assert_same_end(run, alone)


def test_rungs_are_announced_once_each() -> None:
    """S1 = S2 = 8 steps: before the second drop at 24, then every 16: 40; not at the end, 48."""
    marks = [(update.kind, update.step) for update in Chain(SPEC, LOADED_DATA) if update.rung]
    assert marks == [("segment", 24), ("segment", 40)]


def test_a_rung_is_announced_when_it_is_found(store: StateStore) -> None:
    """A trial that is taken up again at a rung is compared there."""
    updates = iter(Chain(SPEC, LOADED_DATA, store))
    while next(updates).step < 24:
        pass
    first = next(iter(Chain(SPEC, LOADED_DATA, store)))
    assert (first.kind, first.step, first.rung) == ("found", 24, True)


def test_divergence_ends_the_trial(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is trained, no rung is announced, and a second run knows it."""
    trial = spec(training__lr=1e6)
    run = Chain(trial, LOADED_DATA, store)
    updates = list(run)
    assert run.diverged and run.finished and not any(update.rung for update in updates)
    assert run.history.diverged_at == run.steps_spent == updates[-1].step < STEPS
    assert len(run.history.points) == run.steps_spent // 8 - 1
    monkeypatch.setattr(Member, "advance", None)
    again = Chain(trial, LOADED_DATA, store)
    assert [update.kind for update in again] == ["found"]
    assert again.diverged and again.history.diverged_at == run.history.diverged_at


def test_divergence_at_a_rung_is_no_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to compare."""
    real = Member.advance

    def advance(networks: TrialNetworks, index: int) -> None:
        real(networks, index)
        if networks.step_done == 20:
            networks.step.loss_sum += float("nan")

    monkeypatch.setattr(Member, "advance", advance)
    run = Chain(SPEC, LOADED_DATA)
    assert [update.rung for update in run][-1] is False
    assert run.history.diverged_at == 24


def test_out_of_memory_loses_nothing(
    store: StateStore, alone: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes through, the claim is released; with memory the trial goes on from its last state."""
    real = Member.advance

    def advance(networks: TrialNetworks, index: int) -> None:
        if networks.step_done == 19:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        real(networks, index)

    monkeypatch.setattr(Member, "advance", advance)
    with pytest.raises(torch.OutOfMemoryError):
        finish(SPEC, store)
    assert not list((store.folder / "claims").iterdir())
    monkeypatch.setattr(Member, "advance", real)
    run = finish(SPEC, store)
    assert run.steps_spent == STEPS - 16
    assert_same_end(run, alone)


def test_threads_are_those_of_the_trial() -> None:
    """While it trains, and only then."""
    before, seen = torch.get_num_threads(), set()

    def look() -> bool:
        seen.add(torch.get_num_threads())
        return False

    for _ in Chain(
        spec(training__threads=2, training__total="1ep", method__cycles=0), LOADED_DATA, should_stop=look
    ):
        assert torch.get_num_threads() == before
    assert seen == {2}
