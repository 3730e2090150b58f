"""Soft filter pruning (SFP, arXiv 1808.06866) against a loop written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.spec.trial import TrialSpec
from reprtune.training.models import build_model
from reprtune.training.platform.seeds import generator
from tests.training.tiny import LOADED_DATA, STEPS_PER_EPOCH, finish, spec

EPOCHS, RATIO = 4, 0.3


def sfp(**changes: object) -> TrialSpec:
    return spec(**{"method": "sfp", "method.prune_ratio": RATIO, "training.total": f"{EPOCHS}ep",
                   "training.weight_decay": 0.01, **changes})  # fmt: skip


def by_hand(one: TrialSpec) -> tuple[dict[str, Tensor], dict[str, Tensor], list[dict[str, list[int]]]]:
    """Train; after every epoch but the last set the filters of each layer with the smallest Euclidean norms to 0 and
    train on, with all gradients and the momentum that there is. Weights, momentum, and who was taken."""
    model, batches = build_model(one.model, 1, (8, 8), 10, one.seed), LOADED_DATA.batches(one)
    training = one.training
    optimizer = torch.optim.SGD(
        model.parameters(), training.lr, training.momentum, weight_decay=training.weight_decay
    )
    taken = []
    for epoch in range(EPOCHS):
        batches.start_epoch(generator(one.seed, "epoch", 0, epoch))
        for index in range(STEPS_PER_EPOCH):
            x, y = batches.batch(index)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        if epoch == EPOCHS - 1:
            break
        taken.append({})
        for name in ("conv1", "conv2", "conv3"):
            weight = model.get_parameter(f"{name}.weight").detach()
            norms = np.linalg.norm(weight.numpy().astype(np.float64).reshape(len(weight), -1), axis=1)
            taken[-1][name] = sorted(np.argsort(norms)[: round(RATIO * len(weight))].tolist())
            weight[taken[-1][name]] = 0
    momentum = {n: optimizer.state[p]["momentum_buffer"] for n, p in model.named_parameters()}
    return model.state_dict(), momentum, taken


def test_a_trial_is_the_loop() -> None:
    """Four epochs: the same filters taken, the same weights, statistics and momentum in the end, to rounding."""
    one = sfp()
    run = finish(one)
    weights, momentum, taken = by_hand(one)
    assert [{n: [*rows] for n, rows in d.dropped.items()} for d in run.history.drops] == taken
    assert [d.step for d in run.history.drops] == [8, 16, 24]
    found = run.networks.model.state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)
    for name, value in momentum.items():
        state = run.networks.network.state["momentum"][name]
        torch.testing.assert_close(state, value, rtol=1e-3, atol=1e-5, msg=name)


def test_it_costs_what_plain_training_does() -> None:
    """Nothing is ever left out of a step, and no segment trains a sub-network."""
    run = finish(sfp())
    plain = finish(spec(**{"method": "standard", "training.total": f"{EPOCHS}ep"}))
    assert run.history.points[-1].gflops == pytest.approx(plain.history.points[-1].gflops)
    assert {p.phase for p in run.history.points} == {"full"}
