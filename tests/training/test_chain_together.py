"""Trials that share a beginning, and several runs of one trial."""

from __future__ import annotations

import os

import pytest

from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import chain as module
from reprtune.training.chain.chain import Chain, Keep
from reprtune.training.chain.trial_networks import Interrupted
from tests.training.tiny import LOADED_DATA, SPEC, STEPS, assert_same_end, finish, go, spec, until


@pytest.mark.parametrize(
    ("one", "other", "shared_epochs"),
    [
        (spec(method__criterion="ortho"), spec(method__criterion="l2"), 1),
        (spec(method__prune_ratio=0.3), spec(method__prune_ratio=0.6), 1),
        (spec(method__cycles=1, method__s1="2ep"), spec(method__cycles=1, method__s1="3ep"), 2),
        (spec(), spec(method__cycles=0), 1),
        (spec(method__cycles=0), spec(method__cycles=1, method__s1="4ep"), 4),
        (spec(method__cycles=0), spec(method__cycles=0, training__total="8ep"), 6),
    ],
)
def test_trials_that_share_a_beginning(
    store: StateStore, one: TrialSpec, other: TrialSpec, shared_epochs: int
) -> None:
    """Both end as when each runs alone; what they share is trained once."""
    both = [finish(trial, store, keep="beginnings") for trial in (one, other)]
    for run in both:
        assert_same_end(run, finish(run.spec))
    assert both[0].steps_spent == both[0].total_steps
    assert both[1].steps_spent == both[1].total_steps - 8 * shared_epochs


@pytest.mark.parametrize("keep", ["last", "beginnings"])
def test_a_longer_trial_leaves_the_shorter_one_its_end(store: StateStore, keep: Keep) -> None:
    """It continues the complete one, and the complete one is still complete."""
    first = finish(SPEC, store, keep=keep)
    longer = spec(training__total="8ep")
    second = finish(longer, store, keep=keep)
    assert second.steps_spent == 16
    assert_same_end(second, finish(longer))
    assert store.has(first.last_name)
    assert finish(SPEC, store, keep=keep).steps_spent == 0


def test_seconds_are_those_of_the_chain(store: StateStore) -> None:
    """Who continues a trial adds to its seconds; a point's time of day is fixed once."""
    first = finish(spec(method__cycles=0), store, keep="beginnings")
    second = finish(spec(method__cycles=0, training__total="7ep"), store)
    assert second.history.points[:6] == first.history.points
    assert second.history.points[6].seconds > first.history.points[5].seconds
    assert second.seconds_spent < first.seconds_spent


def test_a_second_run_waits_for_the_first(store: StateStore, alone: Chain) -> None:
    """While the first trains a segment the second is blocked; then it goes on from the deepest state."""
    kinds: list[str] = []
    second = Chain(SPEC, LOADED_DATA, StateStore(store.folder, "you"))
    updates = iter(second)

    def look() -> bool:
        if len(kinds) < 12:
            kinds.append(next(updates).kind)
        return False

    first = Chain(SPEC, LOADED_DATA, store, should_stop=look)
    go(first)
    kinds += [update.kind for update in updates]
    assert kinds[:8] == ["blocked"] * 8
    assert kinds[8] == "found" and kinds[-1] == "found"
    assert set(kinds) == {"blocked", "found"}
    assert (first.steps_spent, second.steps_spent) == (STEPS, 0)
    for run in (first, second):
        assert_same_end(run, alone)


def test_two_runs_in_turns(store: StateStore, alone: Chain) -> None:
    """Item by item in turn: each finds what the other did, so that everything is done once."""
    runs = [Chain(SPEC, LOADED_DATA, StateStore(store.folder, who), keep="all") for who in ("me", "you")]
    waiting = [iter(run) for run in runs]
    while waiting:
        waiting = [updates for updates in waiting if next(updates, None) is not None]
    assert sum(run.steps_spent for run in runs) == STEPS
    for run in runs:
        assert_same_end(run, alone)


def test_an_interrupted_run_leaves_no_claim(store: StateStore) -> None:
    """Whoever comes next need not wait."""
    with pytest.raises(Interrupted):
        go(Chain(SPEC, LOADED_DATA, store, should_stop=until(20)))
    assert not list((store.folder / "claims").iterdir())


def test_a_claim_is_kept_alive(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is touched again and again while the segment is trained."""
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.0)
    ages: list[float] = []

    def look() -> bool:
        [path] = (store.folder / "claims").iterdir()
        ages.append(path.stat().st_mtime)
        os.utime(path, (0, 0))
        return len(ages) == 5

    with pytest.raises(Interrupted):
        go(Chain(SPEC, LOADED_DATA, store, should_stop=look))
    assert all(age > 0 for age in ages)
