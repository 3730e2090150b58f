"""What every part of the place `drop` must keep: exactness at every step, and a return without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reprtune.spec.parts.selections import Drop
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.trial_networks import Interrupted, TrialNetworks
from reprtune.training.descent.losses import Loss
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.descent.step import Step
from reprtune.training.models import build_model
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.drops import Dropping
from reprtune.training.parts.schedules import Event
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.drops import BESIDE, HELD, trial
from tests.training.test_every_training import RULES
from tests.training.tiny import LOADED_DATA, assert_same_end, finish, go, names, spec, trial_networks, until

FIRST, DROP, RESTORE = Segment(0, 8, "full", 0), Event("drop", 8, 0), Event("restore", 16, 0)
each_drop = pytest.mark.parametrize("drop", BESIDE)
KEPT = {"method.restore": "old", "method.restore_bn": "keep", "method.restore_optimizer": "keep"}


def at_the_drop(one: Any, event: Event = DROP, share: float = 1.0) -> TrialNetworks:
    """`share`: of the learning rate."""
    network = trial_networks(one)
    network.train(FIRST, share * rates(one), lambda: False)
    network.apply_event(event)
    return network


def rates(one: Any) -> Any:
    return np.full(48, one.training.lr)


def everything(network: TrialNetworks) -> dict[str, Tensor]:
    """Parameters, statistics and the optimizer's state, copied."""
    found = {name: t.clone() for name, t in network.model.state_dict().items()}
    for kind, group in network.network.state.items():
        found |= {f"{name}, {kind}": t.clone() for name, t in group.items()}
    return found


def test_every_drop_is_visited() -> None:
    """A new one must be put into the tables."""
    assert {kind.kind for kind in Drop.kinds} == set(BESIDE) == set(HELD)


@each_drop
@pytest.mark.parametrize("rule", RULES)
def test_what_is_gone_stays_so_at_every_step(drop: str, rule: str) -> None:
    """Through momentum, Nesterov, weight decay and the averages of Adam; the rest moves in every step."""
    one = trial(drop, rule)
    network = at_the_drop(one)
    dropping = network.members[0].dropping
    assert dropping.is_active and not network.network.is_full and HELD[drop](dropping)
    steps = 0

    def see() -> bool:
        nonlocal steps
        assert HELD[drop](dropping), steps
        steps += 1
        return False

    before = everything(network)
    network.train(Segment(8, 16, "sub", 0), rates(one), see)
    assert HELD[drop](dropping) and steps == 8
    for layer, mask in dropping.taken.items():
        moved = (everything(network)[f"{layer}.weight"] != before[f"{layer}.weight"])[~mask]
        assert moved.any()


@pytest.mark.parametrize("drop", [drop for drop in BESIDE if drop != "tied"])
def test_it_comes_back(drop: str) -> None:
    """With `old` and all else kept, a restore right after the drop gives back every weight and statistic; the
    network is whole, nothing is kept, and all of it moves. What is tied has a restore rule of its own."""
    one = trial(drop, **KEPT)
    network = trial_networks(one)
    network.train(FIRST, rates(one), lambda: False)
    before = everything(network)
    network.apply_event(DROP)
    taken = {layer: mask.clone() for layer, mask in network.members[0].dropping.taken.items()}
    assert taken
    network.apply_event(RESTORE)
    after = everything(network)
    assert all(torch.equal(after[name], before[name]) for name in network.model.state_dict())
    dropping = network.members[0].dropping
    assert network.network.is_full and not dropping.is_active
    assert not dropping.taken and not dropping.tensors()
    network.train(Segment(8, 16, "full", 1), rates(one), lambda: False)
    for layer, mask in taken.items():
        assert (everything(network)[f"{layer}.weight"] != before[f"{layer}.weight"])[mask].any()


@each_drop
def test_whole_shows_what_was_there(drop: str) -> None:
    """Inside, every number that the drop kept aside stands in its place; afterwards it is gone again. A tie keeps
    nothing aside."""
    one = trial(drop)
    network = trial_networks(one)
    network.train(FIRST, rates(one), lambda: False)
    before = everything(network)
    network.apply_event(DROP)
    dropping, gone = network.members[0].dropping, everything(network)
    before = gone if drop == "tied" else before
    with dropping.whole():
        inside = everything(network)
    assert all(torch.equal(inside[name], before[name]) for name in network.model.state_dict())
    assert all(torch.equal(value, gone[name]) for name, value in everything(network).items())


@each_drop
@pytest.mark.parametrize("rule", ["sgd", "adamw-filter"])
def test_pausing_in_the_middle_changes_nothing(drop: str, rule: str, tmp_path: Path) -> None:
    """Stopped inside the sub-network phase and continued by another process it ends as if it had not been, bit
    for bit, events and points included."""
    one = trial(drop, rule)
    whole = finish(one)
    for n_steps in (11, 27):
        store = StateStore(tmp_path / str(n_steps), "me")
        with pytest.raises(Interrupted):
            go(Chain(one, LOADED_DATA, store, should_stop=until(n_steps)))
        again = finish(one, store)
        assert again.steps_spent < whole.steps_spent
        assert_same_end(whole, again)


@each_drop
def test_a_state_of_a_phase_is_loaded_over_any_other(drop: str) -> None:
    """A network that has something else dropped, or nothing, goes on from a state as the one that saved it."""
    one = trial(drop)
    saver, others = at_the_drop(one), [trial_networks(one), at_the_drop(one, Event("drop", 8, 1), 0.5)]
    begun, start = others[0].save(), everything(others[0])
    payload = saver.save()
    for other in others:
        other.load(payload)
        assert HELD[drop](other.members[0].dropping) and not other.network.is_full
        for network in (saver, other):
            network.load(payload)
            network.train(Segment(8, 16, "sub", 0), rates(one), lambda: False)
        assert all(torch.equal(value, everything(saver)[name]) for name, value in everything(other).items())
        other.load(begun)
        assert other.network.is_full and not other.members[0].dropping.tensors()
        assert all(torch.equal(value, start[name]) for name, value in everything(other).items())


@each_drop
def test_a_trial_ends_well(drop: str) -> None:
    """Two cycles on the digits: as many drops and restores, finite numbers, a whole network in the end."""
    run = finish(trial(drop))
    assert [d.step for d in run.history.drops] == [8, 24]
    assert [r.step for r in run.history.restores] == [16, 32]
    assert run.history.diverged_at is None and run.networks.network.is_full
    assert {p.phase for p in run.history.points} == {"full", "sub"}


@each_drop
def test_the_beginning_is_that_of_plain_training(drop: str) -> None:
    """Before the first drop no state is named by what will drop, nor holds any of it."""
    plain, found = names(spec(**{"training.weight_decay": 0.01, "method": "standard"})), names(trial(drop))
    shared = [name for name in found if name in set(plain)]
    assert found[: len(shared)] == shared and len(shared) == 2  # the start, and one segment of 8 steps


def stepper(drop: str, static: bool, rule: str) -> tuple[Dropping, Step]:
    """A network of its own with all that a step needs."""
    one = trial(drop, rule)
    model = build_model(one.model, 1, (8, 8), 10, seed=2)
    filters = find_filters(model, torch.zeros(1, 1, 8, 8))
    optimizer = Optimizer(one.training, model.named_parameters(), torch.tensor(one.training.lr))
    network = SubNetwork(model, filters, optimizer.state, one.method.dropped_as.filters, static)
    dropping: Dropping = behaviour(one.method.dropped_as)(network, static)
    return dropping, Step(
        one.training, network, optimizer, Loss(one.training.label_smoothing), dropping=dropping
    )


def some(dropping: Dropping, unit: str, seed: int) -> Any:
    """A third of the filters, or of the single weights of each layer, but never a whole layer."""
    draw = torch.Generator().manual_seed(seed)
    if unit == "weight":
        weights = {
            name: dropping.network.parameters[f"{name}.weight"] for name in dropping.network.filters.layers
        }
        return {name: torch.rand(w.shape, generator=draw) < 0.3 for name, w in weights.items()}
    taken = torch.rand(dropping.network.filters.n_filters, generator=draw) < 0.3
    for numbers in dropping.network.filters.slices().values():
        taken[numbers.start] = False
    return taken


@each_drop
@pytest.mark.parametrize("rule", ["nesterov", "adam-filter"])
def test_what_stays_where_it_is_changes_nothing(drop: str, rule: str) -> None:
    """Through full, sub, another sub and full training, static and dynamic give the same bits, so that a captured
    step stays valid in every phase: no tensor that a step reads or writes moves in memory."""
    unit = Drop.find(drop).units[0]
    pairs = [stepper(drop, static, rule) for static in (False, True)]
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % 10
    places = held(pairs[1][0])
    assert places
    for phase in range(4):
        for dropping, step in pairs:
            if phase in (1, 2):
                dropping.release()
                dropping.drop(some(dropping, unit, phase))
            elif phase == 3:
                dropping.release()
            for _ in range(2):
                step(x, y)
        one, other = (step for _, step in pairs)
        for name, tensor in one.network.whole_state().items():
            assert torch.equal(other.network.whole_state()[name], tensor), (phase, name)
        assert held(pairs[1][0]) == places


def held(dropping: Dropping) -> list[int]:
    """Addresses of all that the part, and the network below it, change or read in each step."""
    ties = getattr(dropping, "_layers", {}).values()
    owners = (dropping, dropping.network._held, *ties)
    lists = [value for owner in owners for value in vars(owner).values() if isinstance(value, list)]
    return [t.data_ptr() for values in lists for t in values if isinstance(t, Tensor)]
