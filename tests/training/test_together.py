"""Members that learn from each other at every step: as a plain loop, in any order, interrupted anywhere."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Interrupted
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.data.batches import Batches
from reprtune.training.descent import cuda_graph
from reprtune.training.models import build_model
from reprtune.training.parts.losses.distillation import answer
from reprtune.training.platform.seeds import derive, generator
from tests.training.own_code import Folder, folder
from tests.training.tiny import LOADED_DATA, STEPS, assert_same_end, finish, go, same_bits, spec, until

__all__ = ["folder"]

DISTILLED = {"method": "ensemble", "method.losses": "distillation"}
RATES = np.full(48, 0.0625)
NETWORK = """
from torch import nn

def build(in_channels, input_size, n_classes):
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(24, n_classes))
"""


@pytest.fixture
def dropout(folder: Folder) -> dict[str, Any]:
    """A trial whose networks draw in every step."""
    folder.write("net.py", NETWORK)
    return {**DISTILLED, "model.name": "python:net.py:build", "model.width": None, "method.n_members": 3}


def networks(trial: TrialSpec) -> TrialNetworks:
    return TrialNetworks(trial, LOADED_DATA.task(trial.task), LOADED_DATA.batches(trial), torch.device("cpu"))


def kl(logits: Tensor, answers: list[Tensor], temperature: float) -> Tensor:
    """T^2 KL(mean of the softened answers || softened logits), as torch's formula of probabilities."""
    taught = torch.stack([(z / temperature).softmax(1) for z in answers]).mean(0)
    own = (logits / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(own, taught, reduction="batchmean")


@pytest.mark.parametrize(("n_members", "labels", "same_order"), [(2, "whole", False), (3, "rest", True)])
def test_an_epoch_is_a_plain_loop_over_all_members(n_members: int, labels: str, same_order: bool) -> None:
    """In every step first everybody answers everybody's images, as they are and in evaluation mode; then every one
    steps by torch.optim.SGD. Weights, statistics and the mean loss after an epoch are the same."""
    changes = {
        "method.n_members": n_members,
        "method.distill_labels": labels,
        "method.same_order": same_order,
    }
    trial = spec(**{**DISTILLED, **changes, "method.temperature": 3.0, "method.distill_weight": 0.75})
    found = networks(trial)
    found.train(Segment(0, 8, "full", 0), RATES, lambda: False)
    models = [build_model(trial.model, 1, (8, 8), 10, trial.seed, k) for k in range(n_members)]
    rules = [torch.optim.SGD(m.parameters(), lr=0.0625, momentum=0.9, weight_decay=5e-4) for m in models]
    batches = [Batches(LOADED_DATA.batches(trial).pictures, 16) for _ in models]
    for k, one in enumerate(batches):
        one.start_epoch(generator(trial.seed, "epoch", 0 if same_order else k, 0))
    total = 0.0
    for step in range(8):
        seen = [one.batch(step) for one in batches]
        answers = [[evaluated(m, x) for m in models] for x, _ in seen]
        for k, (model, rule, (x, y)) in enumerate(zip(models, rules, seen, strict=True)):
            logits = model.train()(x)
            taught = kl(logits, [z for j, z in enumerate(answers[k]) if j != k], 3.0)
            loss = (1.0 if labels == "whole" else 0.25) * F.cross_entropy(logits, y) + 0.75 * taught
            rule.zero_grad()
            loss.backward()
            rule.step()
            total += loss.item()
    for member, model in zip(found.members, models, strict=True):
        ours = member.model.state_dict()
        for name, value in model.state_dict().items():
            torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)
    assert found.points[-1].train_loss == pytest.approx(total / 8 / n_members, rel=1e-5)


@torch.no_grad()
def evaluated(model: nn.Module, x: Tensor) -> Tensor:
    """With the statistics of the batch, as in a step; those that run are a copy's."""
    return copy.deepcopy(model).train()(x)


def test_the_order_of_members_does_not_matter(dropout: dict[str, Any]) -> None:
    """Each ends in the same bits, dropout and statistics included, whoever is taken first; all are different."""
    ends = []
    for order in ([0, 1, 2], [2, 0, 1]):
        found = networks(spec(**dropout))
        together = found._together
        assert together is not None
        together.members = [found.members[k] for k in order]
        found.train(Segment(0, 8, "full", 0), RATES, lambda: False)
        found.train(Segment(8, 16, "full", 0), RATES, lambda: False)
        ends.append([m.tensors() for m in found.members])
    for one, other in zip(*ends, strict=True):
        assert all(same_bits(t, other[name]) for name, t in one.items())
    first, second, _ = ends[0]
    assert not same_bits(first["net0/0.weight"], second["net1/0.weight"])


def test_random_layers_draw_what_is_the_member_s_own() -> None:
    """In its first step of a segment what its seed for that segment gives, and in the second what comes next."""
    drawn: dict[tuple[int, int], float] = {}
    run = Chain(spec(**DISTILLED, **{"training.total": "2ep"}), LOADED_DATA)
    for which, member in enumerate(run.networks.members):

        def draw(model: nn.Module, *_: Any, which: int = which) -> None:
            if model.training:
                drawn[which, run.networks.members[which].step_done] = float(torch.rand(()))

        member.model.register_forward_hook(draw)
    go(run)
    for which in (0, 1):
        for start in (0, 8):
            own = torch.Generator().manual_seed(derive(run.spec.seed, "layers", which, start))
            for step in range(start, start + 8):
                assert drawn[which, step] == float(torch.rand((), generator=own))


@pytest.mark.parametrize("asked", [1, 5, 8, 9, 20, 47])
def test_an_interrupted_trial_ends_in_the_same_bits(
    dropout: dict[str, Any], store: StateStore, asked: int
) -> None:
    """Between two steps of all members, within a segment and at its end; all are asked once a step."""
    trial = spec(**dropout)
    with pytest.raises(Interrupted):
        go(Chain(trial, LOADED_DATA, store, should_stop=until(asked)))
    again = finish(trial, store)
    assert again.steps_spent == 3 * (STEPS - asked)
    assert_same_end(again, finish(trial))


def test_with_drops_and_exchanges() -> None:
    """RePr of two networks that learn from each other, and grafting's control with it, end as themselves whatever
    else ran before in the process."""
    losses = {"method.losses": "distillation", "method.n_members": 2}
    for method in ({"method.s1": "1ep"}, {"method": "averaging"}):
        trial = spec(**method, **losses)
        run = finish(trial)
        torch.rand(7)
        assert_same_end(run, finish(trial))
        assert run.history.drops or run.history.exchanges


def test_what_teachers_cost_is_counted() -> None:
    """Of three members each pays two forward passes beside its step, which is three: 5/3 of the cost of three networks
    that never meet; where filters are dropped it is that of what is there."""
    met = {**DISTILLED, "method.n_members": 3}
    apart = {**met, "method.losses": "none"}
    one, other = finish(spec(**met)), finish(spec(**apart))
    costs = [p.gflops for p in other.history.points]
    assert [p.gflops for p in one.history.points] == pytest.approx([5 / 3 * cost for cost in costs])
    assert one.gflops_spent == pytest.approx(5 / 3 * other.gflops_spent)
    pruned = finish(spec(**{"method.losses": "distillation", "method.n_members": 2}))
    points = pruned.history.points
    assert points[1].gflops - points[0].gflops < points[0].gflops


def test_no_time_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of a trial are those of its members together, no more than have passed."""
    run = Chain(spec(**DISTILLED, **{"training.total": "1ep"}), LOADED_DATA)
    clock = iter(range(10_000))
    monkeypatch.setattr("reprtune.training.chain.member.time.perf_counter", lambda: float(next(clock)))
    go(run)
    # begun once, and in each of 8 steps taken twice: 17 turns of a tick each for both
    assert run.history.points[-1].seconds == 2 * 17


def test_steps_are_not_captured_and_batches_not_shared() -> None:
    """Members read what is their own; the pictures are there once."""
    assert cuda_graph.why_eager(LOADED_DATA.batches(spec()), torch.device("cuda"), True) == (
        "a loss couples the members"
    )
    found = networks(spec(**DISTILLED))
    one, other = (member.batches for member in found.members)
    assert one is not other and one.pictures is other.pictures
    apart = networks(spec(method="ensemble"))
    assert apart.members[0].batches is apart.members[1].batches


def test_running_statistics_stay_and_are_not_used() -> None:
    """Answers do not depend on them, and they are the same tensors with the same numbers afterwards; modes too."""
    network = networks(spec(**DISTILLED)).members[0].network
    x = torch.randn(16, 1, 8, 8)
    norms = [m for m in network.model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [(norm.running_mean, norm.running_mean.clone()) for norm in norms]
    first = answer(network, contextlib.nullcontext, x)
    with torch.no_grad():
        for norm in norms:
            norm.running_var.fill_(1e-6)  # of a network whose weights have outrun its statistics
    assert torch.equal(answer(network, contextlib.nullcontext, x), first)
    assert all(
        norm.running_mean is tensor and torch.equal(tensor, old)
        for norm, (tensor, old) in zip(norms, before, strict=True)
    )
    assert all(module.training for module in network.model.modules())
    torch.testing.assert_close(first, evaluated(network.model, x))
