"""What is added to the cross-entropy, against float64 computed pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.spec.edit import changed
from reprtune.spec.task import ModelSpec
from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.losses import Loss, distillation, penalty
from reprtune.training.descent.teacher import Teacher
from reprtune.training.models import build_model
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.hand_sliced import SmallConvNet, convnet_indices, cut, fill, outside

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.25, -3.0]])
ANSWERS = torch.tensor([[1.0, 1.0, -2.0], [0.5, -0.5, 4.0]])
Y = torch.tensor([0, 2])
X = torch.zeros(2, 1, 4, 4)


def softmax(z: Tensor, temperature: float = 1.0) -> list[list[float]]:
    rows = [[math.exp(v / temperature) for v in row] for row in z.tolist()]
    return [[v / sum(row) for v in row] for row in rows]


def cross_entropy(smoothing: float = 0.0) -> float:
    """Of LOGITS: each label has 1 - s, and s is spread over all three classes."""
    total = 0.0
    for p, y in zip(softmax(LOGITS), Y.tolist(), strict=True):
        total -= sum(((k == y) * (1 - smoothing) + smoothing / 3) * math.log(p[k]) for k in range(3))
    return total / 2


def divergence(temperature: float) -> float:
    """Mean KL(teacher || network) of the softened answers."""
    pairs = zip(softmax(ANSWERS, temperature), softmax(LOGITS, temperature), strict=True)
    return sum(t * math.log(t / s) for taught, own in pairs for t, s in zip(taught, own, strict=True)) / 2


def overlap(weight: Tensor) -> Tensor:
    """The sum of |W^ W^T - I| over all pairs of rows that are not 0, one by one."""
    rows = [row / row.square().sum().sqrt() for row in weight.flatten(1) if row.detach().any()]
    total = weight.new_zeros(())
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            total = total + ((a * b).sum() - float(i == j)).abs()
    return total


def small_network(batch_norm: bool = True, dtype: torch.dtype = torch.float32) -> SubNetwork:
    spec = ModelSpec(name="convnet-2", width=6, batch_norm=batch_norm)
    model = build_model(spec, 1, (4, 4), 3, seed=1).to(dtype)
    return SubNetwork(model, find_filters(model, torch.zeros(1, 1, 4, 4, dtype=dtype)), {})


def loss_of(teacher: Teacher | None = None, **fields: float) -> float:
    spec = changed(TrainingSpec(teacher=None if teacher is None else "folder"), fields)
    return float(Loss(spec, teacher)(LOGITS, Y, X, small_network()))


def scripted() -> Teacher:
    """Knows ANSWERS, whatever it is asked."""
    return Teacher(lambda _x: ANSWERS, torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), "digest")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_label_smoothing(smoothing: float) -> None:
    """Every class gets its share of the label, the right one too."""
    assert loss_of(label_smoothing=smoothing) == pytest.approx(cross_entropy(smoothing), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_divergence_of_softened_answers(temperature: float) -> None:
    """T^2 KL(teacher || network), the mean over images; 0 for the teacher's own answers."""
    expected = temperature**2 * divergence(temperature)
    assert float(distillation(LOGITS, ANSWERS, temperature)) == pytest.approx(expected, rel=1e-5)
    assert float(distillation(ANSWERS, ANSWERS, temperature)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("weight", "smoothing"), [(0.25, 0.0), (0.25, 0.1), (1.0, 0.0)])
def test_the_teachers_share(weight: float, smoothing: float) -> None:
    """(1 - w) CE + w T^2 KL at T = 2; labels are smoothed only in the first part."""
    found = loss_of(scripted(), teacher_weight=weight, teacher_temperature=2.0, label_smoothing=smoothing)
    expected = (1 - weight) * cross_entropy(smoothing) + weight * 4 * divergence(2.0)
    assert found == pytest.approx(expected, rel=1e-5)


def test_no_gradient_reaches_a_teacher() -> None:
    """Its answers are numbers; those of the network have a gradient."""
    w = torch.ones((), requires_grad=True)
    teacher = Teacher(lambda x: w * x.mean((2, 3)), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), "")
    answers = teacher(torch.randn(4, 3, 2, 2, generator=generator(0, "x")))
    logits = torch.zeros(4, 3, requires_grad=True)
    distillation(logits, answers, 2.0).backward()
    assert w.grad is None and logits.grad is not None and logits.grad.any()


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (8, 2, 1, 1), (1, 4, 3, 3)])
def test_the_penalty_pair_by_pair(shape: tuple[int, ...]) -> None:
    """Value and gradient are those of every pair on its own in float64; also where filters outnumber their
    dimensions; of a single filter it is 0."""
    weight = torch.randn(shape, generator=generator(0, "w"), dtype=torch.float64)
    one, other = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    found, expected = penalty([one]), overlap(other)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    found.backward()
    expected.backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-7, atol=1e-9)


def test_parallel_and_orthogonal_filters() -> None:
    """Three filters a, -2a and b with a and b orthogonal: two ordered pairs with |cos| = 1."""
    weight = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0]]).reshape(3, 2, 1, 1)
    assert float(penalty([weight])) == pytest.approx(2)
    assert float(penalty([weight, weight])) == pytest.approx(4)


def test_absent_filters_count_nothing() -> None:
    """Rows of zeros add nothing and get no gradient, and none that is not a number."""
    weight = torch.randn(5, 2, 3, 3, generator=generator(0, "w"))
    weight[[1, 3]] = 0
    weight.requires_grad_()
    found = penalty([weight])
    torch.testing.assert_close(found, overlap(weight.detach()[[0, 2, 4]]))
    found.backward()
    assert weight.grad is not None and weight.grad.isfinite().all()
    assert not weight.grad[[1, 3]].any() and weight.grad[[0, 2, 4]].any()


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_penalty_of_a_sub_network_is_that_of_the_smaller_one(batch_norm: bool, static: bool) -> None:
    """Loss and gradients of all that is present, in float64: neither dropped filters nor the kernels that
    would read them count; they get no gradient from the penalty."""
    network = small_network(batch_norm, torch.float64)
    network = SubNetwork(network.model, network.filters, {}, static=static)
    keep = torch.tensor([1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1]).bool()
    network.set_keep(keep)
    kept = [keep[r].nonzero().flatten() for r in network.filters.slices().values()]
    indices = convnet_indices(kept, batch_norm)
    small = SmallConvNet(1, [len(k) for k in kept], 3, batch_norm, set()).double()
    fill(small, network.model, indices)
    x = torch.randn(4, 1, 4, 4, generator=generator(0, "x"), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 1])
    found = Loss(changed(TrainingSpec(), {"ortho_penalty": 0.5}))(network.forward(x), y, x, network)
    expected = F.cross_entropy(small(x), y)
    expected = expected + 0.5 * sum(
        (overlap(getattr(small, f"conv{i}").weight) for i in (1, 2)), expected.new_zeros(())
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    found.backward()
    expected.backward()
    for name, parameter in small.named_parameters():
        gradient = network.parameters[name].grad
        assert gradient is not None
        torch.testing.assert_close(cut(gradient, indices[name]), parameter.grad, rtol=1e-7, atol=1e-10)
    only = torch.autograd.grad(
        penalty(list(network.filter_weights().values())), network.parameters["conv2.weight"]
    )
    assert not outside(only[0], indices["conv2.weight"]).any() and only[0].any()


def test_without_a_penalty_none_is_computed() -> None:
    """The default loss is the cross-entropy alone."""
    network = small_network()
    network.filter_weights = None  # type: ignore[assignment,method-assign]
    assert float(Loss(TrainingSpec())(LOGITS, Y, X, network)) == pytest.approx(cross_entropy(), rel=1e-6)
