"""Methods that renew filters while the network trains on: ReDo and Weight Evolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reprtune.spec.parts.restores import RestoreRules
from reprtune.spec.presets import REDO, WEIGHT_EVOLUTION, compose
from reprtune.states.store import StateStore
from reprtune.training.chain.plan import Event
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.platform.seeds import generator
from tests.training.tiny import (
    assert_same_end,
    finish,
    in_turns,
    names,
    spec,
    trial_networks,
)

X = torch.randn(64, 1, 8, 8, generator=generator(0, "x"))
AT_ONCE = Event("drop", 0, 0), Event("restore", 0, 0)


def logits(network: TrialNetworks) -> Tensor:
    network.model.eval()
    with torch.no_grad():
        return network.network.forward(X)


def recycle(network: TrialNetworks) -> dict[str, tuple[int, ...]]:
    """Who was taken."""
    for event in AT_ONCE:
        network.apply_event(event)
    assert network.network.is_full
    return dict(network.drops[-1].dropped)


def silence(network: TrialNetworks, layer: int, *filters: int) -> None:
    """BatchNorm's shift so far below 0 that ReLU gives 0 for every image."""
    network.model.get_parameter(f"bn{layer}.bias").detach()[list(filters)] = -100.0


# -- ReDo -------------------------------------------------------------------------------------------


def redo(**words: Any) -> TrialNetworks:
    return trial_networks(spec(method=compose(REDO, period="1ep", **words)))


@pytest.mark.parametrize("words", [{"prune_ratio": 0.34}, {"selection": "dormant"}], ids=["share", "dormant"])
def test_recycling_silent_filters_leaves_the_function_as_it_was(words: dict[str, Any]) -> None:
    """Bit for bit where they give 0 to every image: fresh weights come in, and nothing reads them; two of the six
    filters of two layers. (The others of the lowest third are silenced too, by being the only ones.)"""
    network = redo(**words)
    for layer in (1, 2, 3):
        silence(network, layer, 1, 4)
    before = logits(network)
    assert recycle(network) == {f"conv{i}": (1, 4) for i in (1, 2, 3)}
    assert torch.equal(logits(network), before)
    for name in ("conv2.weight", "conv3.weight"):
        survivors = network.model.get_parameter(name)[[0, 2, 3, 5]]
        assert not survivors[:, [1, 4]].any() and survivors[:, [0, 2, 3, 5]].all()
    assert not network.model.get_parameter("fc.weight")[:, [1, 4]].any()


def test_what_is_recycled_comes_in_fresh_and_without_momentum() -> None:
    """Weights are those of a new network, no filter keeps its own; optimizer state is 0, of the kernels that read
    them too; what stays, stays."""
    trial = spec(method=compose(REDO, period="1ep", selection="dormant"))
    run = finish(trial)
    network = run.networks
    for group in network.network.state.values():
        for tensor in group.values():
            tensor.fill_(1.0)
    silence(network, 2, 0)
    before = {n: t.clone() for n, t in network.model.state_dict().items()}
    assert recycle(network)["conv2"] == (0,)
    after, momentum = network.model.state_dict(), network.network.state["momentum"]
    assert (after["conv2.weight"][0] != before["conv2.weight"][0]).all()
    assert not momentum["conv2.weight"][0].any() and not momentum["conv3.weight"][:, 0].any()
    assert momentum["conv2.weight"][1:].all() and momentum["conv3.weight"][:, 1:].all()
    assert torch.equal(after["conv2.weight"][1:], before["conv2.weight"][1:])


def test_a_dormant_filter_that_still_whispers_moves_the_function_by_what_it_said() -> None:
    """Its outgoing kernels become 0: the logits are then those without it."""
    network = redo(selection="dormant", tau=0.01)
    network.model.get_parameter("bn3.weight").detach()[2] = 1e-5
    network.model.get_parameter("bn3.bias").detach()[2] = 1e-5
    weight = network.model.get_parameter("fc.weight").detach()
    before, column = logits(network), weight[:, 2].clone()
    weight[:, 2] = 0
    without = logits(network)
    weight[:, 2] = column
    assert recycle(network) == {"conv3": (2,)}
    assert torch.equal(logits(network), without)
    assert 0 < (before - without).abs().max() < 0.01


def test_where_nobody_is_dormant_nothing_happens() -> None:
    """Not a bit changes, no filter is told of, and the trial goes on."""
    network = redo(selection="dormant", tau=0.0)
    before = {n: t.clone() for n, t in network.model.state_dict().items()}
    assert recycle(network) == {}
    assert all(torch.equal(t, before[n]) for n, t in network.model.state_dict().items())


def test_a_threshold_is_in_the_name() -> None:
    """From the first drop on; the number of filters is not known before."""
    one, other = (
        names(spec(method=compose(REDO, period="1ep", selection="dormant", tau=t))) for t in (0.02, 0.03)
    )
    assert one[:2] == other[:2] and not {*one[2:]} & {*other[2:]}


# -- Weight Evolution -------------------------------------------------------------------------------


def test_weight_evolution_repairs_weak_filters_only() -> None:
    """A filter at a hundredth of its layer's largest loses its smallest tap of each kernel to the largest of the
    strongest filter; nothing else of it and nobody else changes, its momentum stays."""
    network = trial_networks(spec(method=compose(WEIGHT_EVOLUTION, period="1ep")))
    weights = network.model.get_parameter("conv2.weight").detach()
    weights[3] *= 0.01
    for tensor in network.network.state["momentum"].values():
        tensor.fill_(1.0)
    before = {n: t.clone() for n, t in network.model.state_dict().items()}
    assert recycle(network) == {"conv2": (3,)}
    after = network.model.state_dict()
    assert {n for n in before if not torch.equal(before[n], after[n])} == {"conv2.weight"}
    changed = after["conv2.weight"] != before["conv2.weight"]
    assert changed.sum((2, 3)).tolist() == [[0] * 6] * 3 + [[1] * 6] + [[0] * 6] * 2
    strongest = int(np.abs(before["conv2.weight"].numpy()).sum((1, 2, 3)).argmax())
    for channel in range(6):
        weak, strong = (before["conv2.weight"][i, channel].double().numpy().ravel() for i in (3, strongest))
        s, big = weak[np.abs(weak).argmin()], strong[np.abs(strong).argmax()]
        a = abs(s) / (abs(s) + abs(big))
        found = after["conv2.weight"][3, channel][changed[3, channel]]
        assert found.item() == pytest.approx(a * s + (1 - a) * big, rel=1e-6)
    assert all(bool((tensor == 1).all()) for tensor in network.network.state["momentum"].values())


# -- whole trials -----------------------------------------------------------------------------------

METHODS = {
    "redo": compose(REDO, period="1ep", prune_ratio=0.2),
    "redo by threshold": compose(REDO, period="1ep", selection="dormant", tau=0.6),
    "weight evolution": compose(WEIGHT_EVOLUTION, period="1ep", tau=0.7),
    "knowledge evolution's mask in cycles": compose(
        cycles=2, s1="1ep", s2="1ep", criterion=None, selection="fixed", restore_rules=RestoreRules()
    ),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_trial_that_is_interrupted_is_the_same(store: StateStore, method: Any) -> None:
    """Every seven steps in a new process's shoes; somebody was taken on the way, and the end is finite."""
    trial = spec(method=method)
    alone = finish(trial)
    assert any(drop.dropped for drop in alone.history.drops)
    assert_same_end(in_turns(trial, store, 7), alone)
