"""Born-Again Networks: each generation is a new network that imitates the one before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from reprtune.spec.parts.losses import Distillation
from reprtune.spec.presets import BAN, KNOWLEDGE_EVOLUTION, compose
from reprtune.states.store import StateStore
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.plan import Segment, learning_rates
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.models import build_model
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.seeds import derive, generator
from tests.training.tiny import (
    assert_same_end,
    finish,
    in_turns,
    names,
    spec,
    trial_networks,
)

X = torch.randn(16, 1, 8, 8, generator=generator(0, "x"))
Y = torch.arange(16) % 10


def born_again(**words: Any) -> TrialNetworks:
    """One epoch of the first generation, then the second begins."""
    networks = trial_networks(spec(method=compose(BAN, **words)))
    lrs = learning_rates(networks.spec.training, 8)
    networks.train(Segment(0, 8, "full", 0), lrs, lambda: False)
    return networks


def copied(networks: TrialNetworks) -> torch.nn.Module:
    copy = build_model(networks.spec.model, 1, (8, 8), 10, seed=9)
    copy.load_state_dict(networks.model.state_dict())
    return copy.eval()


def loss(networks: TrialNetworks) -> float:
    """Of a step, without its update."""
    networks.model.train()
    logits = networks.network.forward(X)
    return float(networks.step.loss(logits.float(), Y, X, networks.network).detach())


def expected(networks: TrialNetworks, teacher: torch.nn.Module, temperature: float) -> float:
    """CE + T^2 sum over classes of p (log p - log q), the mean over the images, in float64 by hand."""
    networks.model.train()
    with torch.no_grad():
        mine, theirs = networks.network.forward(X).double(), teacher(X).double()
    log_q = (mine / temperature) - (mine / temperature).exp().sum(1, keepdim=True).log()
    log_p = (theirs / temperature) - (theirs / temperature).exp().sum(1, keepdim=True).log()
    divergence = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    labels = -(mine - mine.exp().sum(1, keepdim=True).log())[torch.arange(16), Y].mean()
    return float(labels + temperature**2 * divergence)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_a_generation_imitates_the_one_before_as_it_ended(temperature: float) -> None:
    """The network is new, from the seed of its generation; the teacher is what the network was, in evaluation mode,
    however much the network is trained since; the next teacher is the second network."""
    networks = born_again(temperature=temperature)
    for cycle in (0, 1):
        teacher = copied(networks)
        networks.apply_event(Event("renew", networks.step_done, cycle))
        fresh = build_model(networks.spec.model, 1, (8, 8), 10, derive(0, "renew", 0, cycle)).state_dict()
        assert all(torch.equal(t, fresh[name]) for name, t in networks.model.state_dict().items())
        assert loss(networks) == pytest.approx(expected(networks, teacher, temperature), rel=1e-5)
        start = networks.step_done
        networks.train(
            Segment(start, start + 8, "full", 1), learning_rates(networks.spec.training, 8), lambda: False
        )
        assert loss(networks) == pytest.approx(expected(networks, teacher, temperature), rel=1e-5)


def test_the_first_generation_has_no_teacher() -> None:
    """It is plain training: the loss is that of the labels, and after an epoch the weights are, bit for bit."""
    networks, plain = born_again(), trial_networks(spec(method="standard"))
    plain.train(Segment(0, 8, "full", 0), learning_rates(plain.spec.training, 8), lambda: False)
    assert loss(networks) == loss(plain)
    assert all(torch.equal(t, plain.model.state_dict()[n]) for n, t in networks.model.state_dict().items())


def teacher_in(run: Chain) -> dict[str, Tensor]:
    tensors, _ = state.decode(run.networks.save())
    return {name.removeprefix("part0/losses/"): t for name, t in tensors.items() if "/losses/" in name}


def test_the_teacher_is_part_of_the_state() -> None:
    """At the end of a trial of two generations: the first one's network, which a trial of that length has."""
    two = finish(spec(method=compose(BAN, generations=2)))
    one = finish(spec(method="standard", training__total="3ep")).networks.model.state_dict()
    found = teacher_in(two)
    assert set(found) == {name for name in one if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(t, one[name]) for name, t in found.items())


def test_its_first_generation_is_not_shared_with_plain_training() -> None:
    """The teacher's branch is computed there too (and counts nothing), so that the code differs; methods that imitate
    nobody share it."""
    assert not {*names(spec(method=BAN))[1:]} & {*names(spec(method="standard"))[1:]}
    other = compose(BAN, restore="old")
    assert names(spec(method=BAN))[:3] == names(spec(method=other))[:3]


METHODS = {
    "ban": BAN,
    "ban of two members": compose(BAN, n_members=2),
    "part of the network imitates the whole": compose(
        KNOWLEDGE_EVOLUTION, generations=3, losses=(Distillation(teachers="generation"),)
    ),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_trial_that_is_interrupted_is_the_same(store: StateStore, method: Any) -> None:
    """Every eleven steps in a new process's shoes, before, in and after each generation."""
    trial = spec(method=method, training__lr_schedule="cosine")
    run = in_turns(trial, store, 11)
    assert_same_end(run, finish(trial))
    assert teacher_in(run)
