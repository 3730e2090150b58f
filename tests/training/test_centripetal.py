"""The centripetal rule against the matrices of the paper, in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.parts.gradients.centripetal import Centripetal
from reprtune.training.parts.gradients.contraction import contraction, relative_gap, too_little
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.clusters import Clustered
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.clustering import clustered
from tests.training.toy_networks import TOYS

Matrix = NDArray[np.float64]
LR, PULL, DECAY = 1 / 32, 0.25, 1 / 64
TRAINING = TrainingSpec(lr=LR, momentum=0.875, weight_decay=DECAY)


class Stream(nn.Module):
    """Convolutions with BatchNorm and with a bias, one added to the other; a depthwise one with a slope."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.conv2 = nn.Conv2d(5, 5, 3, padding=1)
        self.depth, self.slope = nn.Conv2d(5, 5, 3, padding=1, groups=5), nn.PReLU(5)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.slope(self.depth(x + self.conv2(x))).mean((2, 3)))


NUMBERS = [0, 1, 0, 2, 0]  # of the one group of `Stream`
ROWS = (  # its tensors with a row for each channel, by hand, and the share of the pull that each gets
    ("conv1.weight", 1.0), ("conv2.weight", 1.0), ("depth.weight", 1.0), ("bn1.weight", 0.1), ("bn1.bias", 0.1),
    ("conv2.bias", 0.1), ("depth.bias", 0.1), ("slope.weight", 0.1),
)  # fmt: skip


def stream() -> nn.Module:
    torch.manual_seed(0)
    model = Stream().double()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.3 * torch.randn_like(tensor))
    return model


class Descent:
    """Steps of our optimizer with the rule."""

    def __init__(self, model: nn.Module, training: TrainingSpec = TRAINING, pull: float = PULL) -> None:
        self.model = model
        self.optimizer = Optimizer(training, model.named_parameters(), torch.tensor(training.lr))
        filters = find_filters(model, torch.zeros(1, 3, 8, 8, dtype=torch.float64))
        self.network = SubNetwork(model, filters, self.optimizer.state)
        self.rule = Centripetal(self.network, training, pull=pull)

    def begin(self) -> dict[str, float]:
        (group,) = [g for g in self.rule.groups.values() if g.reason is None]
        return self.rule.begin([Clustered(group, torch.tensor(NUMBERS))])

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.grad = gradients[name].clone()
        self.rule(self.network, self.optimizer.named_gradients())
        self.optimizer.step()


def gradients_of(model: nn.Module, step: int) -> dict[str, Tensor]:
    """Of the loss of the batch of a step, with the weights as they are; `model` is left alone."""
    model = copy.deepcopy(model).train()
    draw = generator(0, "batch", step)
    x = torch.randn(6, 3, 8, 8, generator=draw, dtype=torch.float64)
    F.cross_entropy(model(x), torch.randint(4, (6,), generator=draw)).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def averaging() -> Matrix:
    """Gamma: entry (i, j) is 1 over the size of the cluster where i and j are in one, else 0."""
    same = np.equal.outer(NUMBERS, NUMBERS).astype(np.float64)
    return same / same.sum(1, keepdims=True)


def by_matrices(model: nn.Module, n_steps: int) -> Iterator[dict[str, Matrix]]:
    """W <- W - lr V, V <- mu V + Gamma G + Lambda W, Lambda = (eta + eps) I - eps Gamma; parameters after each step."""
    model, gamma, share = copy.deepcopy(model), averaging(), dict(ROWS)
    weights = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    velocity = {name: np.zeros_like(w) for name, w in weights.items()}
    for step in range(n_steps):
        model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()}, strict=False)
        for name, gradient in gradients_of(model, step).items():
            w, g = weights[name], gradient.numpy()
            pull = DECAY * w
            if name in share:
                eps, rows = PULL * share[name], w.reshape(5, -1)
                matrix = (DECAY + eps) * np.eye(5) - eps * gamma
                g, pull = (gamma @ g.reshape(5, -1)).reshape(w.shape), (matrix @ rows).reshape(w.shape)
            velocity[name] = 0.875 * velocity[name] + g + pull
            weights[name] = w - LR * velocity[name]
        yield {name: w.copy() for name, w in weights.items()}


def test_steps_are_those_of_the_matrices() -> None:
    """One step and several, with momentum and decay, of kernels and of vectors; what is in no cluster as plain SGD."""
    descent = Descent(stream())
    descent.begin()
    for step, expected in enumerate(by_matrices(descent.model, 6)):
        descent.step(gradients_of(descent.model, step))
        for name, parameter in descent.model.named_parameters():
            np.testing.assert_allclose(
                parameter.detach().numpy(), expected[name], rtol=1e-12, atol=1e-13, err_msg=name
            )
    assert {name for name, _ in ROWS} == {n for n, _ in descent.model.named_parameters()} - {
        "fc.weight",
        "fc.bias",
    }


def test_before_the_begin_nothing_changes() -> None:
    """Bit for bit the gradients that were, and no distance to tell."""
    descent = Descent(stream())
    given = gradients_of(descent.model, 0)
    changed = {name: g.clone() for name, g in given.items()}
    descent.rule(descent.network, changed)
    assert all(torch.equal(changed[name], g) for name, g in given.items())
    assert descent.rule.numbers() == {} == descent.rule.tensors()


def test_what_is_equal_stays_equal() -> None:
    """Within rounding, whatever the gradients are: rows of a cluster get the same step."""
    descent = Descent(stream())
    descent.begin()
    with torch.no_grad():
        for name, _ in ROWS:
            descent.model.get_parameter(name)[[2, 4]] = descent.model.get_parameter(name)[0].clone()
    for step in range(5):
        descent.step({name: g + torch.randn_like(g) for name, g in gradients_of(descent.model, step).items()})
    for name, _ in ROWS:
        rows = descent.model.get_parameter(name)
        assert (rows[[2, 4]] - rows[0]).abs().max() < 1e-14
        assert (rows[1] - rows[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "options", [{"momentum": 0.0}, {"momentum": 0.875}, {"momentum": 0.875, "nesterov": True}]
)
def test_differences_shrink_as_predicted(options: dict[str, Any]) -> None:
    """Whatever the loss says, to the share that `relative_gap` gives, vectors with a tenth of the pull; without
    momentum by 1 - lr (eps + eta) in each step."""
    training = TrainingSpec(lr=LR, weight_decay=DECAY, **options)
    descent = Descent(stream(), training)
    before = {name: descent.model.get_parameter(name).detach().clone() for name, _ in ROWS}
    first = descent.begin()["distance"]
    for step in range(40):
        descent.step(gradients_of(descent.model, step))
    lrs = np.full(40, LR)
    for name, share in ROWS:
        after = descent.model.get_parameter(name).detach()
        factor = relative_gap(lrs, share * PULL, DECAY, training.momentum, training.nesterov)
        if training.momentum == 0:
            assert factor == pytest.approx((1 - LR * (share * PULL + DECAY)) ** 40, rel=1e-12)
        left, was = after[0] - after[4], before[name][0] - before[name][4]
        torch.testing.assert_close(left.abs(), factor * was.abs(), rtol=1e-9, atol=1e-14)
    assert 0 < descent.rule.numbers()["distance"] < first


def test_distances_by_hand() -> None:
    """Of each tensor the mean, over the filters that are not alone, of the distance from their mean: the largest,
    and the mean over the kernels."""
    descent = Descent(stream())
    told = descent.begin()
    together, expected = [0, 2, 4], []
    for name, _ in ROWS:
        rows = descent.model.get_parameter(name).detach().numpy().reshape(5, -1)[together]
        expected.append(np.sqrt(((rows - rows.mean(0)) ** 2).sum(1)).mean())
    assert told == {
        "clusters": 3, "channels": 5, "distance": pytest.approx(max(expected), rel=1e-12),
        "mean_distance": pytest.approx(float(np.mean(expected[:3])), rel=1e-12),
    }  # fmt: skip


def test_clusters_are_kept_with_the_state() -> None:
    """A rule that takes them over goes on as the one that had them; from nothing it is as at the start."""
    one, other = Descent(stream()), Descent(stream())
    one.begin()
    (kept,) = one.rule.tensors().values()
    assert kept.tolist() == NUMBERS
    other.rule.load({name: tensor.clone() for name, tensor in one.rule.tensors().items()})
    for step in range(2):
        for descent in (one, other):
            descent.step(gradients_of(descent.model, step))
    a, b = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    other.rule.load({})
    given = gradients_of(other.model, 9)
    changed = {name: g.clone() for name, g in given.items()}
    other.rule(other.network, changed)
    assert all(torch.equal(changed[name], g) for name, g in given.items())


def test_what_varies_stays_where_it_is() -> None:
    """Begin and load change tensors in place: a captured step reads the same addresses."""
    descent = Descent(stream())

    def places() -> list[int]:
        return [
            t.data_ptr()
            for _, rows in descent.rule._rows
            for t in (rows.number, rows.order, rows.starts, rows.size)
        ]

    before = places()
    descent.begin()
    descent.rule.load({})
    descent.begin()
    assert places() == before


@pytest.mark.parametrize("name", ["dense", "mobile", "gate", "convolved-gate"])
def test_clusters_of_any_network_contract(name: str) -> None:
    """Of concatenations at offsets, depthwise layers and gates: every row of a cluster is pulled to its mean."""
    torch.manual_seed(0)
    descent = Descent(
        TOYS[name][0]().double(), TrainingSpec(lr=0.5, momentum=0.0, weight_decay=0.0), pull=0.5
    )
    clusters = clustered(descent.model, torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    descent.rule.begin(clusters)
    first = descent.rule.numbers()["distance"]
    nothing = {n: torch.zeros_like(p) for n, p in descent.model.named_parameters()}
    for _ in range(10):
        descent.step(nothing)
    for one in clusters:
        numbers = one.numbers.tolist()
        for slot in one.group.members:
            weight = descent.model.get_parameter(f"{slot.layer}.weight").detach()
            for channel, number in enumerate(numbers):
                mean = weight[[slot.offset + i for i, n in enumerate(numbers) if n == number]].mean(0)
                assert (weight[slot.offset + channel] - mean).abs().max() <= 0.75**10 * 3
    assert descent.rule.numbers()["distance"] <= first


# -- how close, told before ------------------------------------------------------------------------


def test_contraction_by_hand() -> None:
    """The sum of lr (eps + eta) / (1 - momentum), and e to its negative as the gap where steps are small."""
    lrs = np.array([0.03] * 2000 + [0.003] * 1000)
    assert contraction(lrs, 3e-3, 1e-4, 0.9) == pytest.approx((60 + 3) * 3.1e-3 / 0.1, rel=1e-12)
    assert relative_gap(lrs, 3e-3, 1e-4, 0.9) == pytest.approx(math.exp(-1.953), rel=0.01)
    assert relative_gap(np.zeros(5), 1.0, 1.0, 0.9) == 1.0
    assert relative_gap(np.full(10**4, 0.5), 1.0, 0.0, 0.0) == 0.0


def test_a_large_pull_contracts_no_faster_than_momentum_allows() -> None:
    """With complex roots a step shrinks differences by sqrt(momentum), and no more, however strong the pull."""
    gap = relative_gap(np.full(100, 0.1), 0.5, 0.0, 0.9)
    assert contraction(np.full(100, 0.1), 0.5, 0.0, 0.9) == pytest.approx(50)
    assert 1e-4 < gap < 0.1 and gap <= 3 * 0.9**50


def test_too_little_is_said_with_the_numbers() -> None:
    """Below 20, what is left of differences, and what to raise; nothing where it is enough."""
    training = TrainingSpec(momentum=0.9, weight_decay=1e-4)
    text = too_little(training, np.full(2000, 0.03), 3e-3)
    assert text is not None and "is 1.86, where 20 are needed" in text and "about 0.15 of" in text
    assert too_little(training, np.full(20000, 0.03), 3e-2) is None


def test_vectors_need_ten_times_the_sum() -> None:
    """Where BatchNorm was trained before the phase, it is told of too: it gets a tenth of the pull."""
    training = TrainingSpec(momentum=0.9, weight_decay=0.0)
    lrs = np.full(20000, 0.03)  # 60 / 0.1 * 0.01 = 60 for kernels, 6 for vectors
    assert too_little(training, lrs, 0.01) is None
    text = too_little(training, lrs, 0.01, vectors_differ=True)
    assert text is not None and "is 6, where 20 are needed, so BatchNorm and biases" in text
    assert "about 0.0024 of" in text  # e^-6 is 0.00248, and steps are not infinitely small
    assert too_little(training, lrs, 0.1, vectors_differ=True) is None
