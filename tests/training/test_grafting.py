"""Trials in which networks, or filters of one, exchange: they finish, pause and resume, and what they record."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.parts.members import Networks
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import trial_networks as running
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Interrupted
from reprtune.training.parts.schedules import Event
from tests.training.tiny import (
    LOADED_DATA,
    STEPS,
    assert_same_end,
    finish,
    go,
    names,
    same_bits,
    spec,
    trial_networks,
    until,
)

NORMS = {"model.name": "resnet-8", "model.width": 4}  # a BatchNorm after every convolution
TRIALS: dict[str, TrialSpec] = {
    "ring": spec(method="grafting"),
    "ring of three": spec(**{"method": "grafting", "method.n_members": 3}),
    "ring l1": spec(**{"method": "grafting", "method.blend_by": "l1"}),
    "ring constant": spec(**{"method": "grafting", "method.blend_by": "constant"}),
    "ring filter": spec(**{"method": "grafting", "method.blend_level": "filter", **NORMS}),
    "ring spread": spec(**{"method": "grafting", "method.member_lr": "spread"}),
    "internal": spec(**{"method": "grafting-internal", "method.weak_below": 9.0}),
    "noise": spec(**{"method": "grafting-internal", "method.exchange": "noise", "method.weak_below": 9.0}),
    "noise in two": spec(**{"method": "grafting", "method.exchange": "noise", "method.weak_below": 9.0}),
}
each_trial = pytest.mark.parametrize("name", TRIALS)


@each_trial
def test_it_finishes(name: str) -> None:
    """With an exchange after every epoch, the last one included; each member's error before and after each of them
    is told, and what is recorded of the step is what they are afterwards."""
    run = finish(TRIALS[name])
    history, n = run.history, TRIALS[name].method.n_members
    assert history.diverged_at is None
    assert [told.step for told in history.exchanges] == list(range(8, STEPS + 1, 8))
    assert all(len(told.before) == len(told.after) == n for told in history.exchanges)
    last = history.exchanges[-1]
    assert history.points[-1].val_error == pytest.approx(sum(last.after) / n)
    assert any(told.before != told.after for told in history.exchanges)
    if name.startswith("ring") and n == 2:
        one, two = (member.model.state_dict() for member in run.networks.members)
        assert all(same_bits(tensor, two[key]) for key, tensor in one.items())


@each_trial
@pytest.mark.parametrize("asked", [5, 9, 17])
def test_an_interrupted_trial_ends_in_the_same_bits(store: StateStore, name: str, asked: int) -> None:
    """In a segment, and after exchanges, whose number resumes."""
    with pytest.raises(Interrupted):
        go(Chain(TRIALS[name], LOADED_DATA, store, should_stop=until(asked)))
    assert_same_end(finish(TRIALS[name], store), finish(TRIALS[name]))


@pytest.mark.parametrize("name", ["ring", "internal", "noise"])
def test_momentum_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer's tensors have the same bits before and after each exchange, while weights have not."""
    changed: list[bool] = []
    exchange = running.exchange

    def spy(members: Any, *others: Any) -> None:
        before = [{key: t.clone() for key, t in member.step.tensors().items()} for member in members]
        weights = [member.model.state_dict()["conv2.weight"].clone() for member in members]
        exchange(members, *others)
        for member, old, weight in zip(members, before, weights, strict=True):
            assert {*old} and all(same_bits(t, old[key]) for key, t in member.step.tensors().items())
            changed.append(not same_bits(member.model.state_dict()["conv2.weight"], weight))

    monkeypatch.setattr(running, "exchange", spy)
    finish(TRIALS[name])
    assert changed[0]


def test_constant_shares_train_as_averaging_does() -> None:
    """Bit for bit: the control of grafting."""
    grafted, averaged = finish(TRIALS["ring constant"]), finish(spec(method="averaging"))
    for one, other in zip(grafted.networks.members, averaged.networks.members, strict=True):
        state: dict[str, Tensor] = other.model.state_dict()
        assert all(same_bits(tensor, state[key]) for key, tensor in one.model.state_dict().items())


def test_by_filter_a_network_without_batchnorm_is_refused_before_it_is_trained() -> None:
    """When its networks are made."""
    trial = spec(**{"method": "grafting", "method.blend_level": "filter", "model.batch_norm": False})
    with pytest.raises(SpecError, match="but conv1, conv2, conv3 have none"):
        trial_networks(trial)


@pytest.mark.parametrize(
    ("n", "shares"), [(2, [0.5, 1.0]), (3, [0.25, 0.75, 1.0]), (4, [(1 - 0.5**0.5) / 2, 0.5, (1 + 0.5**0.5) / 2, 1.0])]
)  # fmt: skip
def test_learning_rates_that_are_spread(n: int, shares: list[float]) -> None:
    """By hand: the first of two trains at half the rate, the last at all of it; otherwise all do."""
    spread = Networks(n_members=n, member_lr="spread")
    assert [spread.share_of_lr(k) for k in range(n)] == pytest.approx(shares)
    by_formula = [(1 + math.cos(math.pi * (n - k) / n)) / 2 for k in range(1, n + 1)]
    assert [spread.share_of_lr(k) for k in range(n)] == pytest.approx(by_formula)
    assert [Networks(n_members=n).share_of_lr(k) for k in range(n)] == [1.0] * n


def test_members_train_at_their_own_rates() -> None:
    """The first of two as plain training at half the rate; the last, as without it; and states are named by it."""
    own, same = (spec(**{"method": "ensemble", "method.member_lr": word}) for word in ("spread", "same"))
    spread, together = finish(own), finish(same)
    half = finish(spec(**{"method": "standard", "training.lr": 0.025}))
    pairs = [(spread, half, 0, 0), (spread, together, 1, 1)]
    for run, other, k, j in pairs:
        state = other.networks.members[j].model.state_dict()
        mine = run.networks.members[k].model.state_dict()
        assert all(same_bits(tensor, state[key]) for key, tensor in mine.items())
    assert spread.history.points[-1].lr == 0.05
    assert not {*names(own)} & {*names(same)}


def test_states_are_named_by_the_exchange() -> None:
    """From the first on; what comes before is shared by all of them."""
    rings = [names(TRIALS[name]) for name in ("ring", "ring l1", "ring constant")]
    kinds = [isinstance(item, Event) for item in Chain(TRIALS["ring"], LOADED_DATA).items]
    first = kinds.index(True)
    assert len({tuple(found[: first + 1]) for found in rings}) == 1
    assert all(len({found[i] for found in rings}) == 3 for i in range(first + 1, len(rings[0])))


def test_a_network_of_one_member_exchanges_within_itself() -> None:
    """Weak filters are written at the first exchange, and the error before it is that of plain training."""
    run, plain = finish(TRIALS["internal"]), finish(spec(method="standard"))
    assert run.history.exchanges[0].before == (plain.history.points[0].val_error,)
    ours, theirs = (r.networks.model.state_dict()["conv1.weight"] for r in (run, plain))
    assert not torch.equal(ours, theirs) and run.history.member_errors == ()
