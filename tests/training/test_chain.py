"""A trial as a chain of states: however it is interrupted or killed, it ends as the same run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reprtune.states.store import StateStore
from reprtune.training.chain import chain as module
from reprtune.training.chain import evaluation, trial_networks
from reprtune.training.chain.chain import Advance, Chain, Keep
from reprtune.training.chain.member import Member
from reprtune.training.chain.trial_networks import Interrupted, TrialNetworks
from tests.training.tiny import (
    LOADED_DATA,
    SPEC,
    STEPS,
    Killed,
    assert_same_end,
    finish,
    go,
    stored,
    until,
)

N_ITEMS = 10  # 6 epochs, 2 drops, 2 restores


@pytest.fixture(params=[0.0, 0.5, 1e9], ids=["every-state", "as-shipped", "few-states"])
def _store_seconds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every segment stored, at most two a second, or only what must be."""
    monkeypatch.setattr(module, "STORE_SECONDS", request.param)


@pytest.mark.usefixtures("_store_seconds")
@pytest.mark.parametrize("keep", ["last", "beginnings", "all"])
def test_a_store_changes_nothing(store: StateStore, alone: Chain, keep: Keep) -> None:
    """With states, and whichever of them are kept, the trial is the one without."""
    run = finish(SPEC, store, keep=keep)
    assert_same_end(run, alone)
    assert run.steps_spent == STEPS


def test_what_a_finished_trial_leaves(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last state; with `beginnings` also those before the first drop; with `all` all; no claims, no
    half-written files."""
    monkeypatch.setattr(module, "STORE_SECONDS", 0.0)
    for keep, indices in (("last", [10]), ("beginnings", [1, 10]), ("all", range(1, 11))):
        own = StateStore(store.folder / keep)
        run = finish(SPEC, own, keep=keep)  # type: ignore[arg-type]
        assert stored(own) == sorted(run.names[i] for i in indices)
        assert not list((own.folder / "claims").iterdir()) and not list((own.folder / "tmp").iterdir())
        assert own.has(run.last_name)


def test_running_again_does_nothing(store: StateStore, alone: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run finds the last state and takes no step."""
    finish(SPEC, store)
    monkeypatch.setattr(Member, "advance", None)
    again = Chain(SPEC, LOADED_DATA, store)
    assert [update.kind for update in again] == ["found"]
    assert (again.steps_spent, again.finished) == (0, True)
    assert_same_end(again, alone)


@pytest.mark.parametrize(("store_seconds", "every"), [(0.0, 1), (1e9, 1), (0.0, 5), (0.5, 8), (1e9, 11)])
def test_interrupted_again_and_again(
    store: StateStore, alone: Chain, store_seconds: float, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked to stop after so many steps, each time in a new process's shoes, until it is done: at every step
    of the trial, at the ends of segments, before and after events. Not one step is trained twice."""
    monkeypatch.setattr(module, "STORE_SECONDS", store_seconds)
    spent = 0
    for _ in range(STEPS + 2):
        run = Chain(SPEC, LOADED_DATA, store, should_stop=until(every))
        try:
            go(run)
        except Interrupted:
            spent += run.steps_spent
            continue
        break
    assert run.finished
    assert spent + run.steps_spent == STEPS
    assert_same_end(run, alone)
    assert stored(store) == [run.names[-1]]


def test_stopped_in_an_evaluation(store: StateStore, alone: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long one takes: it is left at its next batch, and begun again by whoever goes on. Not one step is trained
    twice."""
    evaluates = [False]

    def batches(*part: Any) -> Iterator[Any]:
        for batch in real(*part):
            evaluates[0] = True
            yield batch

    real = evaluation.evaluation_batches
    monkeypatch.setattr(trial_networks, "PATIENT_SECONDS", 0.0)
    monkeypatch.setattr(evaluation, "evaluation_batches", batches)
    run = Chain(SPEC, LOADED_DATA, store, should_stop=lambda: evaluates[0])
    with pytest.raises(Interrupted):
        go(run)
    assert run.steps_spent == run.items[0].stop and not run.history.points
    monkeypatch.undo()
    again = finish(SPEC, store)
    assert run.steps_spent + again.steps_spent == STEPS
    assert_same_end(again, alone)


def test_stopped_before_the_first_step(store: StateStore) -> None:
    """Nothing is trained and nothing stored."""
    with pytest.raises(Interrupted):
        go(Chain(SPEC, LOADED_DATA, store, should_stop=lambda: True))
    assert stored(store) == []


def test_the_same_object_goes_on(store: StateStore, alone: Chain) -> None:
    """Interrupted, it can simply be iterated again."""
    asked = iter(range(1000))
    run = Chain(SPEC, LOADED_DATA, store, should_stop=lambda: next(asked) in (3, 20, 37))
    for _ in range(3):
        with pytest.raises(Interrupted):
            go(run)
    go(run)
    assert run.steps_spent == STEPS
    assert_same_end(run, alone)


@pytest.mark.parametrize("store_seconds", [0.0, 1e9])
@pytest.mark.parametrize("n_updates", range(1, N_ITEMS))
def test_killed_between_two_items(
    store: StateStore, alone: Chain, n_updates: int, store_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is gone after any segment, drop or restore: another continues from what it stored."""
    monkeypatch.setattr(module, "STORE_SECONDS", store_seconds)
    updates: Iterator[Advance] = iter(Chain(SPEC, LOADED_DATA, store))
    for _ in range(n_updates):
        next(updates)
    del updates
    run = finish(SPEC, store)
    assert_same_end(run, alone)
    assert stored(store) == [run.names[-1]]


@pytest.mark.parametrize(
    ("n_writes", "when"), [*((n, "before") for n in range(N_ITEMS)), *((n, "after") for n in (0, 1, 5, 9))]
)
def test_killed_while_storing(
    store: StateStore, alone: Chain, monkeypatch: pytest.MonkeyPatch, n_writes: int, when: str
) -> None:
    """Just before or just after a state appears, so that the one before it is still there."""
    monkeypatch.setattr(module, "STORE_SECONDS", 0.0)
    real, writes = os.replace, iter(range(100))

    def replace(*paths: Path) -> None:
        last = next(writes) == n_writes
        if last and when == "before":
            raise Killed
        real(*paths)
        if last:
            raise Killed

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Killed):
        finish(SPEC, store)
    monkeypatch.setattr(os, "replace", real)
    run = finish(SPEC, store)
    assert run.steps_spent == STEPS - 8 * epochs_done(n_writes + (when == "after"))
    assert_same_end(run, alone)


def epochs_done(n_items: int) -> int:
    """Of the items epoch, drop, epoch, restore, epoch, drop, epoch, restore, epoch, epoch."""
    return [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6][n_items]


def test_a_pause_inside_long_segments(
    store: StateStore, alone: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States are saved within a segment too, so that a kill loses little of it."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    steps: list[int] = []
    real = Member.advance

    def advance(networks: TrialNetworks, index: int) -> None:
        steps.append(networks.step_done)
        if len(steps) == 22:
            raise Killed
        real(networks, index)

    monkeypatch.setattr(Member, "advance", advance)
    with pytest.raises(Killed):
        finish(SPEC, store)
    run = finish(SPEC, store)
    assert steps == [*range(22), *range(21, STEPS)]  # step 21 was begun twice, and done once
    assert_same_end(run, alone)
