"""The penalties on filters, against numpy in float64, pair by pair, with gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reprtune.spec.duration import Duration
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts import losses
from reprtune.spec.task import ModelSpec
from reprtune.training.descent.losses import Loss
from reprtune.training.models import build_model
from reprtune.training.parts.losses import LossContext, made
from reprtune.training.parts.losses.ortho_reg import ortho_reg
from reprtune.training.parts.losses.overlap import overlap
from reprtune.training.parts.losses.soft_orthogonality import soft_orthogonality
from reprtune.training.parts.losses.srip import FALLS, Srip, falls, spectral_norm
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.hand_sliced import SmallConvNet, convnet_indices, cut, fill, outside
from tests.training.tiny import CPU, LOADED_DATA, SPEC

Rows = NDArray[np.float64]
SHAPES = [(5, 27), (8, 2), (1, 36)]  # also more filters than numbers in each, and a single one
LOCALITY = 3.0


def drawn(*shape: int, name: str = "w") -> Tensor:
    return torch.randn(shape, generator=generator(0, name), dtype=torch.float64)


def units(rows: Rows) -> list[Rows]:
    return [row / np.sqrt((row**2).sum()) for row in rows]


def overlap_by_pairs(rows: Rows) -> float:
    """The sum of |W^ W^T - I|, entry by entry."""
    return sum(abs(a @ b - (i == j)) for i, a in enumerate(units(rows)) for j, b in enumerate(units(rows)))


def soft_by_pairs(rows: Rows) -> float:
    """The sum of the squares of W W^T - I, entry by entry."""
    return sum((a @ b - (i == j)) ** 2 for i, a in enumerate(rows) for j, b in enumerate(rows))


def reg_by_pairs(rows: Rows) -> float:
    """log(1 + exp(l (cos - 1))) of every ordered pair."""
    each = [(i, j, a @ b) for i, a in enumerate(units(rows)) for j, b in enumerate(units(rows))]
    return float(sum(np.log1p(np.exp(LOCALITY * (cos - 1))) for i, j, cos in each if i != j))


def norm_by_hand(rows: Rows) -> float:
    """|G u| with u = G v / |G v|, for the same v as the code has."""
    g = rows @ rows.T - np.eye(len(rows))
    u = g @ direction(len(rows)).numpy()
    return float(np.linalg.norm(g @ (u / np.linalg.norm(u))))


def direction(n: int) -> Tensor:
    return drawn(n, name="v")


def spectral(rows: Tensor) -> Tensor:
    return spectral_norm(rows, direction(len(rows)))


PENALTIES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Rows], float]]] = {
    "overlap": (overlap, overlap_by_pairs),
    "soft-orthogonality": (soft_orthogonality, soft_by_pairs),
    "ortho-reg": (partial(ortho_reg, locality=LOCALITY), reg_by_pairs),
    "srip": (spectral, norm_by_hand),
}
each_penalty = pytest.mark.parametrize("name", PENALTIES)


@each_penalty
@pytest.mark.parametrize("shape", SHAPES)
def test_the_value(name: str, shape: tuple[int, int]) -> None:
    """That of the formula."""
    rows = drawn(*shape)
    ours, theirs = PENALTIES[name]
    assert float(ours(rows)) == pytest.approx(theirs(rows.numpy()), rel=1e-10, abs=1e-12)


@each_penalty
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient(name: str, shape: tuple[int, int]) -> None:
    """Central differences of the formula, for six entries."""
    rows = drawn(*shape).requires_grad_()
    ours, theirs = PENALTIES[name]
    ours(rows).backward()
    assert rows.grad is not None
    for k in range(6):
        at = (k % shape[0], (5 * k) % shape[1])
        ends = []
        for step in (1e-6, -1e-6):
            moved = rows.detach().numpy().copy()
            moved[at] += step
            ends.append(theirs(moved))
        assert float(rows.grad[at]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


def test_parallel_opposite_and_orthogonal_filters() -> None:
    """Three filters a, -2a and b with a and b orthogonal, |a| = 1, |b| = 3: two ordered pairs have |cos| = 1; W W^T - I
    has off its diagonal -2 twice, on it 0, 3 and 8; opposite ones are left alone by OrthoReg."""
    rows = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    assert float(overlap(rows)) == pytest.approx(2)
    assert float(soft_orthogonality(rows)) == pytest.approx(4 + 4 + 9 + 64)
    assert float(spectral_norm(rows, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))) == pytest.approx(8)
    rows.requires_grad_()
    found = ortho_reg(rows, 10.0)
    assert float(found.detach()) == pytest.approx(4 * np.log1p(np.exp(-10)) + 2 * np.log1p(np.exp(-20)))
    found.backward()
    assert rows.grad is not None and float(rows.grad.abs().max()) < 1e-2


@pytest.mark.parametrize("n", [3, 12])
def test_one_power_iteration_is_close_from_below(n: int) -> None:
    """Never above the largest |eigenvalue|, and equal to it after many more of them."""
    rows = drawn(n, 9)
    g = (rows @ rows.T - torch.eye(n)).numpy()
    largest = np.abs(np.linalg.eigvalsh(g)).max()
    found = float(spectral(rows))
    assert 0.3 * largest < found <= largest * (1 + 1e-12)
    v = direction(n)
    for _ in range(2000):
        v = torch.from_numpy(g) @ v
        v = v / v.norm()
    assert float(spectral_norm(rows, v)) == pytest.approx(largest, rel=1e-6)


@each_penalty
def test_absent_filters_count_nothing(name: str) -> None:
    """Rows of zeros add nothing, get no gradient, and none that is not a number; filters that are orthonormal have
    no gradient that is not a number either."""
    ours, _ = PENALTIES[name]
    weight = drawn(5, 18)
    weight[[1, 3]] = 0
    weight.requires_grad_()
    found = ours(weight)
    there = [0, 2, 4]
    small = weight.detach()[there]
    expected = spectral_norm(small, direction(5)[there]) if name == "srip" else ours(small)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert weight.grad is not None and weight.grad.isfinite().all()
    assert not weight.grad[[1, 3]].any() and weight.grad[there].any()
    square = torch.eye(4, dtype=torch.float64, requires_grad=True)
    ours(square).backward()
    assert square.grad is not None and square.grad.isfinite().all()


PARTS: dict[str, losses.LossTerm] = {
    "overlap": losses.Overlap(ortho_penalty=0.5),
    "soft-orthogonality": losses.SoftOrthogonality(so_penalty=0.5),
    "ortho-reg": losses.OrthoReg(orthoreg_penalty=0.5, orthoreg_locality=LOCALITY),
}


def loss_of(part: losses.LossTerm, network: SubNetwork) -> Loss:
    context = LossContext(LOADED_DATA.task(SPEC.task), 8, CPU, network)
    return Loss(0.0, list(made(MethodSpec(losses=(part,)), context)))


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", PARTS)
def test_the_penalty_of_a_sub_network_is_that_of_the_smaller_one(
    name: str, batch_norm: bool, static: bool
) -> None:
    """Loss and gradients of all that is present, in float64: neither dropped filters nor the kernels that
    would read them count; they get no gradient from the penalty."""
    spec = ModelSpec(name="convnet-2", width=6, batch_norm=batch_norm)
    model = build_model(spec, 1, (4, 4), 3, seed=1).double()
    filters = find_filters(model, torch.zeros(1, 1, 4, 4, dtype=torch.float64))
    network = SubNetwork(model, filters, {}, static=static)
    network.set_keep(torch.tensor([1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1]).bool())
    kept = [network.keep[r].nonzero().flatten() for r in filters.slices().values()]
    indices = convnet_indices(kept, batch_norm)
    small = SmallConvNet(1, [len(k) for k in kept], 3, batch_norm, set()).double()
    fill(small, network.model, indices)
    x = drawn(4, 1, 4, 4, name="x")
    y = torch.tensor([0, 1, 2, 1])
    loss, ours = loss_of(PARTS[name], network), PENALTIES[name][0]
    found = loss(network.forward(x), y, x, network)
    expected = F.cross_entropy(small(x), y)
    for i in (1, 2):
        expected = expected + 0.5 * ours(getattr(small, f"conv{i}").weight.flatten(1))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    found.backward()
    expected.backward()
    for parameter_name, parameter in small.named_parameters():
        gradient = network.parameters[parameter_name].grad
        assert gradient is not None
        torch.testing.assert_close(
            cut(gradient, indices[parameter_name]), parameter.grad, rtol=1e-7, atol=1e-10
        )
    only = torch.autograd.grad(
        loss.terms[0](x, y, x, network), network.parameters["conv2.weight"], materialize_grads=True
    )
    assert not outside(only[0], indices["conv2.weight"]).any() and only[0].any()


def test_srip_draws_from_the_member_s_generator() -> None:
    """The same after the same seed, one direction for each layer; the factor is in front."""
    model = build_model(ModelSpec(name="convnet-2", width=6), 1, (4, 4), 3, seed=1)
    network = SubNetwork(model, find_filters(model, torch.zeros(1, 1, 4, 4)), {})
    (term,) = loss_of(losses.Srip(srip_penalty=0.5), network).terms
    nothing: Any = None
    torch.manual_seed(3)
    found = float(term(nothing, nothing, nothing, network).detach())
    torch.manual_seed(3)
    rows = [w.detach().flatten(1) for w in network.filter_weights().values()]
    expected = sum(float(spectral_norm(w, torch.randn(len(w)))) for w in rows)
    assert found == pytest.approx(0.5 * expected)


def test_srip_fades_out() -> None:
    """As in the authors' code for 200 epochs: from epoch 20, 50 and 70 on 1e-3, 1e-4 and 1e-6 of it, from 120 on 0; in
    place, and going back too, as a step that is undone does; with 0ep it stays."""
    assert [(round(120 * at), share) for at, share in FALLS] == [
        (20, 1e-3),
        (50, 1e-4),
        (70, 1e-6),
        (120, 0.0),
    ]
    model = build_model(ModelSpec(name="convnet-2", width=6), 1, (4, 4), 3, seed=1)
    network = SubNetwork(model, find_filters(model, torch.zeros(1, 1, 4, 4)), {})
    part = losses.Srip(srip_penalty=0.5, srip_until=Duration.parse("120ep"))
    (term,) = loss_of(part, network).terms
    assert isinstance(term, Srip)
    place = term.factor.data_ptr()
    for epoch, share in (
        (0, 1),
        (20, 1e-3),
        (19.9, 1),
        (50, 1e-4),
        (69, 1e-4),
        (70, 1e-6),
        (119, 1e-6),
        (120, 0),
    ):
        term.before_step(round(8 * epoch))
        assert float(term.factor) == pytest.approx(0.5 * share)
    assert term.factor.data_ptr() == place
    assert falls(0) == []
