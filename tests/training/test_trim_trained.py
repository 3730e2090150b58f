"""Training, then the trim: what is lost is what the contraction predicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.parts.gradients.centripetal import Centripetal
from reprtune.training.parts.gradients.contraction import relative_gap
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from reprtune.training.surgery.trim import trim
from tests.training.clustering import clustered
from tests.training.test_removal import CLASSES, own

NETWORKS = {"convnet-3": {"width": 8}, "resnet-8": {"width": 6}, "densenet-10-4": {}}
SIZE, BATCH, LR, PULL = 8, 8, 0.125, 0.5  # without momentum differences shrink by 15 / 16 in a step


def batch(step: int) -> tuple[Tensor, Tensor]:
    draw = generator(0, "batch", step)
    x = torch.randn(BATCH, 3, SIZE, SIZE, generator=draw, dtype=torch.float64)
    return x, torch.randint(CLASSES, (BATCH,), generator=draw)


def trained(name: str, n_steps: int) -> tuple[nn.Module, Centripetal, float]:
    """The network after so many steps with the rule, the rule, and the distance that there was before them."""
    model = own(name, SIZE, **NETWORKS[name]).double().train()
    training = TrainingSpec(lr=LR, momentum=0.0, weight_decay=0.0)
    optimizer = Optimizer(training, model.named_parameters(), torch.tensor(LR))
    example = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.float64)
    network = SubNetwork(model, find_filters(model, example), optimizer.state)
    rule = Centripetal(network, training, pull=PULL)
    before = rule.begin(clustered(model, example))["distance"]
    for step in range(n_steps):
        x, y = batch(step)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            rule(network, optimizer.named_gradients())
        optimizer.step()
    return model, rule, before


@torch.no_grad()
def lost(model: nn.Module, rule: Centripetal) -> float:
    """Largest difference of logits after the trim, over the largest logit."""
    small, _ = trim(model.eval(), rule.clusters)
    assert sum(p.numel() for p in small.parameters()) < 0.7 * sum(p.numel() for p in model.parameters())
    x, _ = batch(-1)
    logits = model(x)
    assert logits.std() > 0.1
    return float((small(x) - logits).abs().max() / logits.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_trim_loses_nothing_after_enough_contraction(name: str) -> None:
    """400 steps leave 6e-12 of the differences: trimmed and trained logits agree to 1e-9, while the loss has moved
    the network."""
    model, rule, before = trained(name, 400)
    assert before > 0.1 and rule.numbers()["distance"] < 1e-9
    assert lost(model, rule) < 1e-9
    weights = own(name, SIZE, **NETWORKS[name]).double().get_parameter("fc.weight")
    assert (model.get_parameter("fc.weight") - weights).abs().max() > 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_too_little_contraction_loses_what_is_predicted(name: str) -> None:
    """After 20, 60 and 120 steps the distance is exactly the predicted share of what it was, and the logits are off
    by that share within a factor of 30."""
    for n_steps in (20, 60, 120):
        predicted = relative_gap(np.full(n_steps, LR), PULL, 0.0, 0.0)
        assert predicted == pytest.approx((15 / 16) ** n_steps, rel=1e-12)
        model, rule, before = trained(name, n_steps)
        assert rule.numbers()["distance"] == pytest.approx(predicted * before, rel=1e-9)
        assert predicted / 30 < lost(model, rule) < 30 * predicted
