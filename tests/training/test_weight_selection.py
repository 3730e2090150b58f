"""Which single weights are taken: exactly the smallest of each layer, or as many by chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.parts.selections import Weights
from reprtune.training.chain.dropping import count_to_drop
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.selections.weights import count, ranked, select
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.drops import trial
from tests.training.parts import scored
from tests.training.small_net import network
from tests.training.tiny import trial_networks
from tests.training.toy_networks import Tower

CONTEXT = ScoreContext(5, 1, None, list, unit="weight")  # type: ignore[arg-type]  # these look at weights only


@given(
    ratio=st.floats(0.01, 0.99),
    values=st.lists(st.sampled_from([0.0, -0.5, 0.5, 1.0, -2.0, 3.0]), min_size=1, max_size=60),
)
def test_the_smallest_are_taken(ratio: float, values: list[float]) -> None:
    """Against sorting (|w|, position) by hand: exactly round(ratio * n) of them, one at least stays; ties by
    position."""
    weight = torch.tensor(values).reshape(1, -1)
    scores = scored("magnitude", {"a": weight}, CONTEXT)
    (taken,) = select(scores, None, Weights(weight_ratio=ratio)).values()
    n = min(round(ratio * len(values)), len(values) - 1)
    smallest = sorted(range(len(values)), key=lambda i: (abs(values[i]), i))[:n]
    assert taken.shape == weight.shape and taken.dtype == torch.bool
    assert sorted(smallest) == taken.flatten().nonzero().flatten().tolist()


def test_magnitude_has_the_shape_of_the_weight() -> None:
    """-|w| in float64 on the CPU, whatever the memory format; the weights stay."""
    weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    found = scored("magnitude", {"a": weight}, CONTEXT)["a"]
    assert found.dtype == torch.float64 and not found.requires_grad
    assert np.array_equal(found.numpy(), -np.abs(weight.detach().double().numpy()))


def test_random_weights_are_the_control() -> None:
    """As many as by magnitude, others in each cycle and of each member, evenly spread over the layer."""
    weights = {"a": torch.randn(40, 10, 3, 3), "b": torch.randn(10, 400)}
    contexts = [CONTEXT, replace(CONTEXT, cycle=2), replace(CONTEXT, member=1)]
    draws = [select(scored("random", weights, c), None, Weights(weight_ratio=0.3)) for c in contexts]
    for draw in draws:
        assert {name: int(mask.sum()) for name, mask in draw.items()} == {"a": 1080, "b": 1200}
        assert draw["a"].float().mean((1, 2, 3)).std() < 0.08
    assert len({tuple(d["a"].flatten().tolist()) for d in draws}) == 3
    again = select(scored("random", weights, CONTEXT), None, Weights(weight_ratio=0.3))
    assert all(torch.equal(again[name], draws[0][name]) for name in weights)


def test_which_layers_are_ranked() -> None:
    """Every convolution and the classifier; the first one and those excluded stay."""
    net = network()
    everything = ["conv1", "conv2", "conv3", "fc"]
    assert list(ranked(net, Weights(exclude_first=False))) == everything
    assert list(ranked(net, Weights())) == everything[1:]
    assert list(ranked(net, Weights(exclude=("fc", "conv3")))) == ["conv2"]
    assert all(
        w.data_ptr() == net.parameters[f"{n}.weight"].data_ptr() for n, w in ranked(net, Weights()).items()
    )


def test_layers_that_cannot_lose_filters_lose_weights() -> None:
    """What keeps a convolution's filters from being dropped does not keep its weights."""
    net = SubNetwork(model := Tower(), find_filters(model, torch.zeros(1, 3, 8, 8)), {})
    assert net.filters.kept_out
    assert set(net.filters.kept_out) <= set(ranked(net, Weights(exclude_first=False)))


@pytest.mark.parametrize(
    ("selection", "message", "hint"),
    [
        (Weights(exclude=("conv9",)),
         "method.exclude must match convolutions or linear layers, but 'conv9' matches none.",
         "They are conv1, conv2, conv3, fc."),
        (Weights(exclude=("conv*", "fc")), "At least one layer must be left to rank, but method.exclude_first = True",
         "Leave out fewer of conv1, conv2, conv3, fc."),
        (Weights(weight_ratio=1e-6), "method.weight_ratio = 1e-06 takes none of the ", "Raise it, or take"),
    ],
)  # fmt: skip
def test_what_takes_nothing_is_refused(selection: Weights, message: str, hint: str) -> None:
    """Before anything is trained, with the fix."""
    with pytest.raises(SpecError) as caught:
        count(network(), selection)
    assert caught.value.message.startswith(message) and str(caught.value.hint).startswith(hint)


def test_a_trial_knows_how_many_it_takes() -> None:
    """30 % of 324, 324 and 60 weights: 97 + 97 + 18."""
    one = trial("single-weights")
    run = trial_networks(one)
    sizes: list[Tensor] = [run.network.parameters[f"{n}.weight"] for n in ("conv2", "conv3", "fc")]
    assert [w.numel() for w in sizes] == [324, 324, 60]
    assert run.n_drop == count_to_drop(one.method, run.network) == 212
