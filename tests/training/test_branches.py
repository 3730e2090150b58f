"""A branch: up to its point the trunk, state by state, and from there on what it changes.

The oracle is the trunk itself where nothing differs, and the same branch trained in an empty store, or without one,
everywhere else.
"""

from __future__ import annotations

from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.branch import Branch
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.edit import changed
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import chain as module
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Member
from tests.training.tiny import LOADED_DATA, SPEC, STEPS, assert_same_end, finish, in_turns, spec, stored

# SPEC: 6 epochs of 8 steps; full 0-8, sub 8-16, full 16-24, sub 24-32, full 32-48. Items: 1 segment, 2 drop,
# 3 segment, 4 restore, 5 segment, 6 drop, 7 segment, 8 restore, 9 and 10 segments.
CHANGES: dict[str, tuple[str, dict[str, Any], int]] = {  # at, changes, steps that are not the trunk's
    "another criterion": ("cycle=1", {"method.criterion": "random"}, 32),
    "another criterion, from the drop on": ("3ep", {"method.criterion": "random"}, 24),
    "no more cycles": ("cycle=1", {"method": "standard"}, 32),
    "another restore": ("2ep", {"method.restore": "random"}, 32),
    "longer": ("cycle=2", {"training.total": "8ep"}, 16),  # its first 48 steps are the trunk's
    "longer, from the very end": ("6ep", {"training.total": "7ep"}, 8),
    "another rate": ("cycle=2", {"training.lr": 0.01}, 16),
    "another weight decay": ("cycle=2", {"training.weight_decay": 0.1}, 16),
    "smoothed labels": ("40it", {"training.label_smoothing": 0.1}, 8),
    "a further cycle": ("cycle=1", {"method.cycles": 3, "training.lr": 0.01}, 32),
    "a further loss": ("cycle=1", {"method.losses": "overlap"}, 32),
}


def branched(at: str, changes: dict[str, Any], trunk: TrialSpec = SPEC) -> TrialSpec:
    return changed(trunk, {"branch": {"at": at, "changes": changes}})


@pytest.fixture(params=CHANGES, ids=lambda name: name.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> tuple[TrialSpec, int]:
    at, changes, n_own = CHANGES[request.param]
    return branched(at, changes), n_own


def test_a_branch_shares_the_states_of_its_trunk(
    case: tuple[TrialSpec, int], store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on from the trunk's very file, takes only the steps after it, and ends as without any store."""
    trial, n_own = case
    assert trial.branch is not None
    monkeypatch.setattr(module, "STORE_SECONDS", 1e9)
    trunk = finish(SPEC, store, branches=[trial.branch])
    there = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.state")}
    run = finish(trial, store)
    assert run.steps_spent == n_own
    at = run.fork_states()
    assert len(at) == 1 and at[0] in trunk.names and store.path(at[0]) in there
    assert not {path for path in there if not path.exists()}
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())
    alone = finish(trial)
    assert alone.steps_spent == alone.total_steps
    assert_same_end(run, alone)
    assert_same_end(run, finish(trial, StateStore(store.folder / "empty")))


def test_a_branch_without_changes_is_its_trunk(alone: Chain, store: StateStore) -> None:
    """The same names and the same end, wherever it leaves; and so nothing is trained again."""
    finish(SPEC, store)
    for at in ("1ep", "2ep", "cycle=1", "32it", "cycle=2", "5ep"):
        run = finish(branched(at, {}))
        assert run.names == alone.names
        assert_same_end(run, alone)
        assert finish(branched(at, {}), store).steps_spent == 0


SLOW = pytest.mark.slow  # every item is killed below


@pytest.mark.parametrize("every", [pytest.param(1, marks=SLOW), 5, 8])
def test_a_branch_is_interrupted_again_and_again(
    case: tuple[TrialSpec, int], store: StateStore, every: int
) -> None:
    """After every few steps a new process goes on, before and after the point, and it ends as in one go."""
    trial, _ = case
    if every == 1 and trial.after.training.total.steps(8) != STEPS:
        pytest.skip("in_turns counts the steps of the tiny trial")
    assert_same_end(in_turns(trial, store, every), finish(trial))


@pytest.mark.parametrize("name", ["another criterion", "another weight decay", "a further loss"])
def test_a_branch_is_killed_after_any_item(
    name: str, monkeypatch: pytest.MonkeyPatch, store: StateStore
) -> None:
    """After every segment, drop and restore: another process continues from what was stored."""
    at, changes, _ = CHANGES[name]
    trial = branched(at, changes)
    whole = finish(trial)
    for store_seconds in (0.0, 1e9):
        monkeypatch.setattr(module, "STORE_SECONDS", store_seconds)
        for n in range(1, len(whole.items)):
            own = StateStore(store.folder / f"{store_seconds}-{n}")
            updates = iter(Chain(trial, LOADED_DATA, own))
            for _ in range(n):
                next(updates)
            del updates
            assert_same_end(finish(trial, own), whole)


def test_branches_of_one_trunk_train_it_once(store: StateStore) -> None:
    """Two at different points, in an empty store: the later one first, which comes by the point of the other."""
    early = branched("cycle=1", {"method.criterion": "random"})
    late = branched("cycle=2", {"training.lr": 0.01})
    both = [one.branch for one in (early, late) if one.branch is not None]
    assert finish(late, store, branches=both).steps_spent == 48
    assert finish(early, store, branches=both).steps_spent == 32
    assert finish(SPEC, store, branches=both).steps_spent == 16
    assert finish(late, store).steps_spent == finish(early, store).steps_spent == 0


def test_a_damaged_end_of_a_branch_is_trained_again(store: StateStore) -> None:
    """From the state at its point, with the trunk's networks up to there."""
    trial = branched("cycle=2", {"training.weight_decay": 0.1})
    whole = finish(trial, store)
    store.path(whole.names[-1]).write_bytes(b"no state")
    again = finish(trial, store)
    assert again.steps_spent == 16
    assert_same_end(again, whole)


def test_what_segments_are_made_of_is_in_the_names_after_the_point() -> None:
    """Weight decay, say: no state after the point is taken for the trunk's, which has the same rates and events."""
    run = Chain(branched("cycle=2", {"training.weight_decay": 0.1}), LOADED_DATA)
    trunk = Chain(SPEC, LOADED_DATA)
    n = len(run.names) - 2  # two segments follow the second restore
    assert run.names[:n] == trunk.names[:n]
    assert not {*run.names[n:]} & {*trunk.names}


def test_what_differs_only_later_is_shared_for_longer() -> None:
    """A criterion that acts at the second drop: the segment before it is still the trunk's."""
    run = Chain(branched("cycle=1", {"method.criterion": "random"}), LOADED_DATA)
    assert [a == b for a, b in zip(run.names, Chain(SPEC, LOADED_DATA).names, strict=True)] == [
        True, True, True, True, True, True, False, False, False, False, False,
    ]  # fmt: skip


def test_several_networks_branch(store: StateStore) -> None:
    """All members of a trial, also with an exchange at the very point, which belongs to what is before it."""
    trunk = spec(method="averaging", method__n_members=2, method__period="1ep", training__total="3ep")
    trial = branched("2ep", {"training.lr": 0.01}, trunk)
    assert trial.branch is not None
    finish(trunk, store, branches=[trial.branch])
    run = finish(trial, store)
    assert run.steps_spent == 16 and len(run.history.exchanges) == 3
    assert_same_end(run, finish(trial))


@pytest.mark.parametrize(
    ("at", "changes", "words"),
    [
        ("cycle=3", {}, "ends cycles 1 to 2"),
        ("3it", {}, "within one or after its last"),
        ("7ep", {"training.total": "8ep"}, "within one or after its last"),
        ("5ep", {"training.total": "5ep"}, "before the end of what is trained then"),
        ("5ep", {"training.total": "4ep"}, "before the end of what is trained then"),
        ("12it", {}, "within one"),
        ("16it", {"method": "standard"}, "is in what a drop began"),
        ("cycle=1", {"method.s1": "4it", "method.s2": "8it"}, "is whole at cycle=1"),
        ("2ep", {"method.drop": "weights-only"}, "cannot change method.drop"),
        ("cycle=1", {"training.total": "3ep"}, "must fit training.total"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_after_the_point_is_refused(
    at: str, changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a step is taken, by a sentence that says what is wrong."""
    monkeypatch.setattr(Member, "advance", None)
    with pytest.raises(SpecError, match=words):
        Chain(branched(at, changes), LOADED_DATA)


@pytest.mark.parametrize(
    "change",
    [
        {"task.train_images": 64}, {"model.width": 7}, {"seed": 1}, {"training.batch_size": 8},
        {"training.optimizer": "adam"}, {"training.precision": "bf16"}, {"training.threads": 2},
        {"training.segment": "4it"}, {"method.n_members": 2}, {"training.momentum": 0.0},
    ],
)  # fmt: skip
def test_what_the_state_is_made_of_cannot_change(change: dict[str, Any]) -> None:
    """The value itself refuses it, naming the field."""
    with pytest.raises(SpecError, match="cannot change"):
        branched("cycle=1", change)


def test_a_trial_without_a_branch_is_what_it_was() -> None:
    """Its plain form has no such field, and so its digest is that of before there was one."""
    assert SPEC.branch is None and set(to_plain(SPEC)) == {"task", "model", "training", "method", "seed"}
    one = branched("cycle=1", {"method.criterion": "random"})
    assert one.branch == Branch(at="cycle=1", changes={"method.criterion": "random"})
    assert from_plain(TrialSpec, to_plain(one)) == one and changed(one, {"branch": None}) == SPEC
    assert (one.trunk, one.after) == (SPEC, spec(method__criterion="random"))


def test_the_pause_of_a_branch_goes_away(store: StateStore) -> None:
    """What stays of an interrupted branch is its end and the state at its point."""
    run = in_turns(branched("cycle=2", {"training.lr": 0.01}), store, 5)
    assert stored(store) == sorted([run.names[-1], *run.fork_states()])
