"""Whatever stands in the catalog of methods can be trained, stopped, killed and taken up again, bit for bit."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import chain as running
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.trial_networks import Interrupted
from reprtune.training.parts.schedules import Event
from tests.training.family import METHODS, WAYS, trial
from tests.training.tiny import CPU, LOADED_DATA, STEPS, assert_same_end, finish, go, names, until

every_method = pytest.mark.parametrize("name", METHODS)
_whole: dict[str, Chain] = {}


def whole(name: str) -> Chain:
    """The method's trial in one go, without states; trained once."""
    if name not in _whole:
        _whole[name] = finish(trial(name))
    return _whole[name]


@every_method
def test_it_ends(name: str) -> None:
    """With all of its steps, finite numbers, and everything done that its schedule announces."""
    run = whole(name)
    assert not run.diverged and run.networks.step_done == STEPS
    assert run.history.points[-1].step == STEPS
    assert all(math.isfinite(p.val_loss) and 0 <= p.val_error <= 1 for p in run.history.points)
    told = run.history
    happened = [*told.drops, *told.restores, *told.exchanges, *told.happenings]
    for kind in {item.kind for item in run.items if isinstance(item, Event)} - {"begin"}:
        steps = {item.stop for item in run.items if isinstance(item, Event) and item.kind == kind}
        assert steps <= {one.step for one in happened}, kind


@every_method
def test_it_goes_on_after_every_segment_and_event(
    name: str, store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process after each of them, which knows what is stored and nothing else, ends in the same bits."""
    monkeypatch.setattr(running, "STORE_SECONDS", 0.0)
    piece_by_piece(trial(name), store)
    assert_same_end(finish(trial(name), store), whole(name))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_the_table_goes_on(way: str, store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, of each line of the family that is more than a method of the catalog."""
    monkeypatch.setattr(running, "STORE_SECONDS", 0.0)
    name, changes = WAYS[way]
    one = trial(name, **changes)
    piece_by_piece(one, store)
    assert_same_end(finish(one, store), finish(one))


def piece_by_piece(one: TrialSpec, store: StateStore) -> None:
    """Train a trial in as many processes as it has segments and events."""
    n_processes = 0
    while True:
        run = Chain(one, LOADED_DATA, store)
        done = [update.kind for _, update in zip(range(2), run, strict=False)]  # found, and one thing more
        n_processes += 1
        if run.finished:
            break
        assert done and n_processes <= len(run.items)
    assert n_processes > 3


@pytest.mark.slow
@every_method
def test_it_goes_on_after_any_step(name: str, store: StateStore) -> None:
    """Asked to stop at three random steps of its networks, one after another."""
    draw = random.Random(name)
    n_steps = STEPS * trial(name).method.n_members
    for asked in sorted(draw.sample(range(1, n_steps // 4), 3)):
        with pytest.raises(Interrupted):
            go(Chain(trial(name), LOADED_DATA, store, should_stop=until(asked)))
    run = finish(trial(name), store)
    assert 0 < run.steps_spent < n_steps
    assert_same_end(run, whole(name))


@every_method
def test_it_is_compared_on_its_way(name: str, store: StateStore) -> None:
    """It has rungs, some are announced, each once, after a segment; what is found there again is announced too."""
    run = Chain(trial(name), LOADED_DATA, store)
    marks = []
    for update in run:
        if update.rung:
            marks.append(update.step)
            assert update.kind == "segment" and isinstance(run.items[run.done - 1], (Segment, Event))
    assert marks and set(marks) <= set(run.rungs) and len(set(marks)) == len(marks)
    assert max(marks) < STEPS


@every_method
def test_it_begins_as_plain_training_where_it_can(name: str) -> None:
    """Until something happens a method of one network, with nothing that acts in each step, has the states of plain
    training; one with a loss or a rule for gradients has another step, and one of several networks other states,
    which it shares with others of as many."""
    own, plain = names(trial(name)), names(trial("standard"))
    parts = trial(name).method
    shared = sum(a == b for a, b in zip(own, plain, strict=False))
    if parts.gradient is not None or parts.losses or parts.networks is not None:
        assert shared == 0
    else:
        events = (i for i, item in enumerate(whole(name).items) if isinstance(item, Event))
        assert shared == 1 + next(events, len(whole(name).items)) > 1
    if parts.networks is not None and not parts.losses:
        assert own[1] == names(trial("ensemble"))[1]


def test_all_are_listed_with_what_they_are() -> None:
    """In `list methods --long`."""
    said = CliRunner().invoke(cli.cli, ["list", "methods", "--long"], catch_exceptions=False).output
    assert {line.split()[0] for line in said.splitlines() if line[:1].strip()} == set(METHODS)


@pytest.fixture(scope="module")
def real_data(shared_data: Path) -> tuple[str, LoadedData]:
    """Name of a data set of real images, and what reads it once for all methods."""
    file = shared_data / "cifar10-20k.npz"
    if not file.exists():
        pytest.skip(f"no {file.name} in the folder of real data sets")
    return f"npz:{file}", LoadedData(shared_data, CPU)


@pytest.mark.slow
@every_method
@pytest.mark.parametrize("model", ["convnet-3", "resnet-8"])
def test_it_trains_on_real_images(
    name: str, model: str, real_data: tuple[str, LoadedData], tmp_path: Path
) -> None:
    """128 of CIFAR-10, with crops and flips: it ends, and a second run, continued in the middle, is the same."""
    dataset, data = real_data
    task = {
        "dataset": dataset,
        "train_images": 128,
        "val_frac": 0.02,
        "score_frac": 0.02,
        "augment": "crop+flip",
    }
    size = {"model.width": 6} | ({"model.pool": True} if model == "convnet-3" else {})
    one = trial(name, **{**{f"task.{k}": v for k, v in task.items()}, "model.name": model, **size})
    store = StateStore(tmp_path / "states", "me")
    first = Chain(one, data, store, keep="all")
    go(first)
    assert first.finished and not first.diverged
    for state in first.names[len(first.names) // 2 :]:
        store.delete([state])
    again = Chain(one, data, store)
    go(again)
    assert 0 < again.steps_spent < first.steps_spent
    assert_same_end(first, again)
