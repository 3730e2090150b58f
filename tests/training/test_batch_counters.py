"""The number of batches that each BatchNorm has seen, against the one that torch counts."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reprtune.training.chain import state
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.trial_networks import Interrupted, TrialNetworks
from reprtune.training.descent.batch_counters import Counters
from reprtune.training.parts.schedules import Event
from reprtune.training.surgery.filters import find_filters
from tests.training.dropping import EXAMPLE, images
from tests.training.tiny import finish, spec, trial_networks
from tests.training.toy_networks import conv

COUNT = "num_batches_tracked"
RATES = np.full(48, 0.05)
FIRST, DROP, SUB = Segment(0, 8, "full", 0), Event("drop", 8, 0), Segment(8, 16, "sub", 0)


def counts(tensors: dict[str, Tensor]) -> list[int]:
    return [int(tensor) for name, tensor in tensors.items() if name.endswith(COUNT)]


def test_all_steps_of_a_trial_are_counted() -> None:
    """Those of both phases and no others: batches that measure statistics anew, and evaluations, are none."""
    run = finish(spec(method__restore_bn="recalibrate", method__criterion="taylor"))
    assert counts(run.networks.model.state_dict()) == [48, 48, 48]


def test_in_a_step_there_is_no_counter() -> None:
    """And after it, in what is saved and in what is loaded, it is right; in its place in memory."""
    one, other = trial_networks(), trial_networks()
    places = [b.data_ptr() for n, b in one.model.named_buffers() if n.endswith(COUNT)]
    seen: list[object] = []
    stepper = one.stepper

    def spy(index: int) -> None:
        seen.append(one.model.get_submodule("bn2").num_batches_tracked)
        stepper(index)

    one.members[0].stepper = spy  # type: ignore[assignment]
    saved: list[list[int]] = []

    def tick() -> bool:
        if one.step_done in (0, 3, 4):
            saved.append(counts(state.decode(one.save(pause_after=0))[0]))
        return one.step_done == 6

    with pytest.raises(Interrupted):
        one.train(FIRST, RATES, tick)
    assert saved == [[0] * 3, [3] * 3, [4] * 3] and seen == [None] * 6
    assert counts(one.model.state_dict()) == [6] * 3
    other.load(one.save(pause_after=0))
    for network in (one, other):
        train(network, FIRST, DROP, SUB)
        assert counts(network.model.state_dict()) == [16] * 3
    assert [b.data_ptr() for n, b in one.model.named_buffers() if n.endswith(COUNT)] == places


def train(network: TrialNetworks, *items: Segment | Event) -> None:
    for item in items:
        network.apply_event(item) if isinstance(item, Event) else network.train(item, RATES, lambda: False)


class Net(nn.Module):
    """Two convolutions with BatchNorm; of the last, somebody may read the count."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.conv, self.bn = conv(3, 4), nn.BatchNorm2d(4)
        self.conv2, self.last = conv(4, 4), nn.BatchNorm2d(4, **options)
        self.fc = nn.Linear(4, 2)

    def end(self, x: Tensor) -> Tensor:
        return self.last(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.end(self.conv2(self.bn(self.conv(x)).relu()))
        return self.fc(x.mean((2, 3)))


class Twice(Net):
    def end(self, x: Tensor) -> Tensor:
        return self.last(self.last(x))


class ReadsTensor(Net):
    def end(self, x: Tensor) -> Tensor:
        return self.last(x) / (1 + self.last.num_batches_tracked)


class ReadsNumber(Net):
    def end(self, x: Tensor) -> Tensor:
        return self.last(x) * (0.5 if int(self.last.num_batches_tracked) < 0 else 2.0)


def hooked() -> Net:
    net = Net()
    net.last.register_forward_hook(lambda module, _x, y: y / (1 + module.num_batches_tracked))
    return net


NETWORKS = {
    "plain": (Net, {"bn", "last"}),
    "no statistics": (lambda: Net(track_running_stats=False), {"bn", "last"}),
    "cumulative": (lambda: Net(momentum=None), {"bn", "last"}),  # known when it is trained
    "twice": (Twice, {"bn"}),
    "read as a tensor": (ReadsTensor, set()),
    "read as a number": (ReadsNumber, set()),
    "hooked": (hooked, {"bn"}),
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_counts_and_answers_are_those_of_torch(name: str, frozen: bool) -> None:
    """Whoever reads a count has it in the step; one that is in evaluation mode counts nothing; steps add to
    what was counted before."""
    make, counted = NETWORKS[name]
    torch.manual_seed(0)
    model = make()
    filters = find_filters(model, EXAMPLE)
    assert filters.counted == counted
    model(images())
    model.last.train(not frozen)
    other, counters = copy.deepcopy(model), Counters(model, filters)
    for begun, steps in ((5, 3), (8, 2)):
        for step in range(begun, begun + steps):
            counters.set_aside(step)
            assert torch.equal(model(images()), other(images()))
        counters.put_back(begun + steps)
        found, expected = model.state_dict(), other.state_dict()
        assert list(found) == list(expected)
        assert all(torch.equal(tensor, expected[key]) for key, tensor in found.items())
