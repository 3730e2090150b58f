"""The training loss: the cross-entropy, imitation of softened answers, and how both are joined."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts import losses
from reprtune.spec.parts.members import Networks
from reprtune.spec.parts.schedules import Generations
from reprtune.spec.task import ModelSpec
from reprtune.training.descent.losses import Loss, Term
from reprtune.training.models import build_model
from reprtune.training.parts.losses import LossContext, made
from reprtune.training.parts.losses.distillation import Generation, Members
from reprtune.training.parts.losses.softened import divergence, mean_softened, softened
from reprtune.training.parts.losses.teacher import Teacher
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.tiny import CPU, LOADED_DATA, SPEC

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.25, -3.0]])
ANSWERS = torch.tensor([[1.0, 1.0, -2.0], [0.5, -0.5, 4.0]])
OTHERS = torch.tensor([[-1.0, 0.0, 3.0], [2.0, 2.0, -1.0]])
Y = torch.tensor([0, 2])
X = torch.zeros(2, 1, 8, 8)


def softmax(z: Tensor, temperature: float = 1.0) -> list[list[float]]:
    rows = [[math.exp(v / temperature) for v in row] for row in z.tolist()]
    return [[v / sum(row) for v in row] for row in rows]


def cross_entropy(smoothing: float = 0.0) -> float:
    """Of LOGITS: each label has 1 - s, and s is spread over all three classes."""
    total = 0.0
    for p, y in zip(softmax(LOGITS), Y.tolist(), strict=True):
        total -= sum(((k == y) * (1 - smoothing) + smoothing / 3) * math.log(p[k]) for k in range(3))
    return total / 2


def kl(temperature: float, *teachers: Tensor) -> float:
    """Mean KL(mean of the teachers || network) of the softened answers."""
    each = [softmax(z, temperature) for z in teachers]
    total = 0.0
    for i, own in enumerate(softmax(LOGITS, temperature)):
        for k, s in enumerate(own):
            t = sum(answers[i][k] for answers in each) / len(each)
            total += t * math.log(t / s)
    return total / 2


def small_network() -> SubNetwork:
    model = build_model(ModelSpec(name="convnet-2", width=6), 1, (8, 8), 3, seed=1)
    return SubNetwork(model, find_filters(model, torch.zeros(1, 1, 8, 8)), {})


class Scripted(SubNetwork):
    """Knows its answers, whatever it is asked."""

    def __init__(self, answers: Tensor) -> None:
        network = small_network()
        super().__init__(network.model, network.filters, {})
        self.answers = answers

    def forward(self, x: Tensor) -> Tensor:  # noqa: ARG002 - of a network
        assert not self.model.training and not torch.is_grad_enabled()
        return self.answers


def terms(network: SubNetwork, *parts: losses.LossTerm, teacher: Tensor | None = None) -> list[Term]:
    """The losses of a member; a teacher out of the folder "t" knows `teacher`."""
    schedule = Generations() if any(part.renews for part in parts) else None
    asks = MethodSpec(losses=parts, networks=Networks(), schedule=schedule)
    unit, nothing = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    shared = {
        "t": None if teacher is None else Teacher(lambda _x: teacher, unit, nothing, "digest", macs=0.0)
    }
    return list(made(asks, LossContext(LOADED_DATA.task(SPEC.task), 8, CPU, network, shared)))


def value(found: list[Term], smoothing: float = 0.0, network: SubNetwork | None = None) -> float:
    return float(Loss(smoothing, found)(LOGITS, Y, X, network or small_network()).detach())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_label_smoothing(smoothing: float) -> None:
    """Every class gets its share of the label, the right one too."""
    assert value([], smoothing) == pytest.approx(cross_entropy(smoothing), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_imitation_is_the_divergence_of_softened_answers(temperature: float) -> None:
    """T^2 KL(teachers || network), the mean over images; 0 for the teacher's own answers."""
    for teachers in ([ANSWERS], [ANSWERS, OTHERS], [ANSWERS, OTHERS, LOGITS]):
        found = float(divergence(LOGITS, mean_softened(teachers, temperature), temperature))
        assert found == pytest.approx(temperature**2 * kl(temperature, *teachers), rel=1e-5)
    assert float(divergence(ANSWERS, softened(ANSWERS, temperature), temperature)) == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize(("weight", "smoothing"), [(0.25, 0.0), (0.25, 0.1), (1.0, 0.0)])
def test_the_share_of_a_teacher(weight: float, smoothing: float) -> None:
    """(1 - w) CE + w T^2 KL at T = 2; labels are smoothed only in the first part."""
    part = losses.Teacher(teacher_folder="t", teacher_weight=weight, teacher_temperature=2.0)
    found = value(terms(small_network(), part, teacher=ANSWERS), smoothing)
    expected = (1 - weight) * cross_entropy(smoothing) + weight * 4 * kl(2.0, ANSWERS)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("labels", "of_labels"), [("whole", 1.0), ("rest", 0.25)])
def test_the_share_of_other_members(labels: str, of_labels: float) -> None:
    """CE + w T^2 KL, or with the rest of the cross-entropy; of the mean of two others' softened answers."""
    part = losses.Distillation(temperature=3.0, distill_weight=0.75, distill_labels=labels)
    (term,) = terms(small_network(), part)
    assert isinstance(term, Members)
    term.meet([(Scripted(z), torch.no_grad) for z in (ANSWERS, OTHERS)])
    term.ask(X)
    expected = of_labels * cross_entropy(0.1) + 0.75 * 9 * kl(3.0, ANSWERS, OTHERS)
    assert value([term], 0.1) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(AssertionError, match="nobody was asked"):
        value([term])


def test_losses_add_up() -> None:
    """A teacher and a penalty: the penalty is whole."""
    network = small_network()
    parts = (
        losses.Teacher(teacher_folder="t", teacher_temperature=1.0),
        losses.SoftOrthogonality(so_penalty=2.0),
    )
    found = terms(network, *parts, teacher=ANSWERS)
    rows = [w.detach().double().flatten(1) for w in network.filter_weights().values()]
    penalty = sum(float((w @ w.T - torch.eye(len(w))).square().sum()) for w in rows)
    expected = (cross_entropy() + kl(1.0, ANSWERS)) / 2 + 2 * penalty
    assert value(found, network=network) == pytest.approx(expected, rel=1e-5)


def test_no_gradient_reaches_a_teacher() -> None:
    """Its answers are numbers; those of the network have a gradient."""
    w = torch.ones((), requires_grad=True)
    teacher = Teacher(
        lambda x: w * x.mean((2, 3)), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), "", macs=0.0
    )
    answers = teacher(torch.randn(4, 3, 2, 2, generator=generator(0, "x")))
    logits = torch.zeros(4, 3, requires_grad=True)
    divergence(logits, softened(answers, 2.0), 2.0).backward()
    assert w.grad is None and logits.grad is not None and logits.grad.any()


def test_without_losses_there_is_only_the_cross_entropy() -> None:
    """Nothing is asked of the network."""
    network: Any = small_network()
    network.filter_weights = None
    assert value([], network=network) == pytest.approx(cross_entropy(), rel=1e-6)


# -- the last generation ---------------------------------------------------------------------------


def generation(network: SubNetwork, labels: str = "whole") -> Generation:
    part = losses.Distillation(teachers="generation", distill_weight=0.75, distill_labels=labels)
    (term,) = terms(network, part)
    assert isinstance(term, Generation)
    return term


def images() -> Tensor:
    return torch.rand(2, 1, 8, 8, generator=generator(0, "images"))


def answers_of(network: SubNetwork) -> Tensor:
    network.model.eval()
    with torch.no_grad():
        found = network.forward(images())
    network.model.train()
    return found


def changed(network: SubNetwork) -> None:
    """Other weights and statistics in place."""
    with torch.no_grad():
        for tensor in (*network.parameters.values(), *network.buffers.values()):
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator(0, tensor.dim())))


@pytest.mark.parametrize("labels", ["whole", "rest"])
def test_the_last_generation_is_imitated_once_there_is_one(labels: str) -> None:
    """Before, the loss is the cross-entropy bit for bit, in its gradient too; then CE + w T^2 KL against the network
    as it was at the renewal, however it changes since, its statistics included."""
    network = small_network()
    term = generation(network, labels)
    loss = Loss(0.0, [term])
    one, other = (LOGITS.clone().requires_grad_() for _ in range(2))
    plain, first = Loss()(one, Y, images(), network), loss(other, Y, images(), network)
    plain.backward()
    first.backward()
    assert torch.equal(plain, first) and torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
    changed(network)
    taught = answers_of(network)
    term.renew(network.model)
    changed(network)
    assert not torch.equal(answers_of(network), taught)
    before = {name: t.clone() for name, t in network.model.state_dict().items()}
    whole = 1.0 if labels == "whole" else 0.25
    found = float(loss(LOGITS, Y, images(), network))
    assert found == pytest.approx(whole * cross_entropy() + 0.75 * 4 * kl(2.0, taught), rel=1e-5)
    assert all(torch.equal(t, before[name]) for name, t in network.model.state_dict().items())
    assert network.model.training and all(p.grad is None for p in network.parameters.values())


def test_a_generation_is_saved_and_loaded() -> None:
    """In place, so that a captured step sees it; and nothing, which is how it begins."""
    network = small_network()
    term, again = generation(network), generation(network)
    assert term.tensors() == {} and term.flops_per_image() == 0
    changed(network)
    term.renew(network.model)
    places = {name: t.data_ptr() for name, t in again._frozen.items()}
    again.load({name: t.clone() for name, t in term.tensors().items()})
    assert {name: t.data_ptr() for name, t in again.tensors().items()} == places
    assert value([term], network=network) == value([again], network=network) != value([], network=network)
    again.load({})
    assert again.tensors() == {} and value([again], network=network) == value([], network=network)


def test_what_a_generation_costs() -> None:
    """2 operations per multiply-add of a forward pass, by hand: 8 x 8 x 9 for each of 6 x 1 and 6 x 6 pairs of
    channels, and 6 x 3 in the linear layer; nothing before there is one."""
    network = small_network()
    term = generation(network)
    term.renew(network.model)
    assert term.flops_per_image() == 2 * (64 * 9 * (6 + 36) + 18)
