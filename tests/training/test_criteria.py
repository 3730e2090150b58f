"""Criteria that look at weights alone, against double loops in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from reprtune.spec import catalog
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.ortho import overlap
from reprtune.training.platform.seeds import generator
from tests.training.parts import OF_FILTERS, scored

CONTEXT = ScoreContext(5, 1, None, list)  # type: ignore[arg-type]  # these look at weights only
DATA_DRIVEN = {"bn-gamma", "activation", "apoz", "taylor", "taylor-fo", "hessian", "oracle"}  # need a network
NAMES = [name for name in OF_FILTERS if name not in DATA_DRIVEN]
SHAPES = {"conv1": (6, 3, 3, 3), "conv2": (5, 6, 3, 3), "expand": (8, 4, 1, 1), "stem": (4, 1, 5, 5)}


def filters() -> dict[str, Tensor]:
    return {name: torch.randn(shape, generator=generator(0, name)) for name, shape in SHAPES.items()}


def overlap_by_loops(weight: Tensor) -> list[float]:
    """O_f of the paper, cosine by cosine; a filter of norm 0 overlaps with nothing."""
    rows = [np.asarray(w, np.float64).ravel() for w in weight.numpy()]
    scores = []
    for f, a in enumerate(rows):
        total = 0.0
        for k, b in enumerate(rows):
            lengths = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
            if f != k and lengths > 0:
                total += abs(sum(x * y for x, y in zip(a, b, strict=True))) / lengths
        scores.append(total / len(rows))
    return scores


def released_by_loops(weight: Tensor) -> list[float]:
    """One norm for the layer; the mean of signed products, and only then its absolute value."""
    rows = [np.asarray(w, np.float64).ravel() for w in weight.numpy()]
    square = sum(float(v) ** 2 for row in rows for v in row) or 1.0
    return [
        abs(sum(float(np.dot(a, b)) / square for k, b in enumerate(rows) if k != f) / len(rows))
        for f, a in enumerate(rows)
    ]


def norm_by_loops(weight: Tensor, power: int) -> list[float]:
    norms = [sum(abs(float(v)) ** power for v in w.ravel()) ** (1 / power) for w in weight.numpy()]
    return [-n / (sum(norms) / len(norms) or 1.0) for n in norms]


def distances_by_loops(weight: Tensor) -> list[float]:
    rows = [np.asarray(w, np.float64).ravel() for w in weight.numpy()]
    return [-sum(math.dist(a, b) for b in rows) for a in rows]


ORACLES: dict[str, Callable[[Tensor], list[float]]] = {
    "ortho": overlap_by_loops,
    "ortho-dim": lambda w: [o / math.sqrt(2 / (math.pi * w[0].numel())) for o in overlap_by_loops(w)],
    "ortho-released": released_by_loops,
    "l1": lambda w: norm_by_loops(w, 1),
    "l2": lambda w: norm_by_loops(w, 2),
    "fpgm": distances_by_loops,
}


@pytest.mark.parametrize("name", ORACLES)
def test_scores_are_those_of_the_formula(name: str) -> None:
    """To twelve digits, for every layer, whatever its kernel."""
    scores = scored(name, filters(), CONTEXT)
    for layer, weight in filters().items():
        assert scores[layer].tolist() == pytest.approx(ORACLES[name](weight), abs=1e-12)


def test_every_deterministic_criterion_has_an_oracle() -> None:
    """A criterion added to the catalog must be compared with something."""
    assert {*ORACLES, "random"} == set(NAMES)
    assert set(catalog.names("criteria")) >= DATA_DRIVEN


def test_overlap_of_three_filters_by_hand() -> None:
    """Rows (1,0), (3,3), (0,-2): cosines 1/sqrt 2, 0, 1/sqrt 2, so O = a/3, 2a/3, a/3 with a = 1/sqrt 2."""
    weight = torch.tensor([[1.0, 0], [3, 3], [0, -2]]).reshape(3, 2, 1, 1)
    a = 1 / math.sqrt(2)
    found = scored("ortho", {"conv": weight}, CONTEXT)["conv"]
    assert found.tolist() == pytest.approx([a / 3, 2 * a / 3, a / 3])
    assert overlap(weight) == pytest.approx(4 * a / 9)


def test_twins_are_dropped_first_and_orthogonal_filters_last() -> None:
    """Higher means dropped first: a copy (or a negated one) of another filter scores highest."""
    weight = torch.eye(4).reshape(4, 4, 1, 1).clone()
    weight[2] = -2 * weight[1]
    found = scored("ortho", {"conv": weight}, CONTEXT)["conv"]
    assert found.tolist() == pytest.approx([0, 0.25, 0.25, 0])


def test_the_weakest_filter_is_dropped_first_by_l2() -> None:
    """Norms 3, 1, 2 relative to their mean 2, negated."""
    weight = torch.tensor([3.0, -1, 2]).reshape(3, 1, 1, 1)
    assert scored("l2", {"conv": weight}, CONTEXT)["conv"].tolist() == [-1.5, -0.5, -1.0]


def test_released_overlap_by_hand() -> None:
    """Rows (1,0), (3,3), (0,-2), squares 23 in all: products 3, 0 and -6, so |3|, |3 - 6|, |-6| over 69. The
    overlaps of the middle one cancel, where the paper's formula adds them."""
    weight = torch.tensor([[1.0, 0], [3, 3], [0, -2]]).reshape(3, 2, 1, 1)
    found = scored("ortho-released", {"conv": weight}, CONTEXT)["conv"]
    assert found.tolist() == pytest.approx([3 / 69, 3 / 69, 6 / 69])


def test_the_middle_of_a_layer_is_dropped_first_by_fpgm() -> None:
    """At 0, 1 and 5 on a line: distances 6, 5 and 9 in all."""
    weight = torch.tensor([0.0, 1, 5]).reshape(3, 1, 1, 1)
    assert scored("fpgm", {"conv": weight}, CONTEXT)["conv"].tolist() == [-6, -5, -9]


def test_the_weakest_filter_is_dropped_first_by_l1() -> None:
    """Sums 3, 4 and 2 relative to their mean 3; by L2 the second, whose weights are spread, is below the first."""
    weight = torch.tensor([[3.0, 0], [-2, 2], [0, -2]]).reshape(3, 2, 1, 1)
    found = scored("l1", {"conv": weight}, CONTEXT)["conv"]
    assert found.tolist() == pytest.approx([-1, -4 / 3, -2 / 3])
    assert scored("l2", {"conv": weight}, CONTEXT)["conv"].argmin() == 0


def test_corrected_overlap_of_random_filters_is_the_same_for_every_size() -> None:
    """Raw, a 27-number filter overlaps three times as much as a 288-number one; corrected, both about 1."""
    layers = {"small": (64, 3, 3, 3), "large": (64, 32, 3, 3)}
    drawn = {n: torch.randn(shape, generator=generator(1, n)) for n, shape in layers.items()}
    raw = {n: s.mean().item() for n, s in scored("ortho", drawn, CONTEXT).items()}
    corrected = {n: s.mean().item() for n, s in scored("ortho-dim", drawn, CONTEXT).items()}
    assert raw["small"] / raw["large"] == pytest.approx(math.sqrt(288 / 27), rel=0.1)
    assert list(corrected.values()) == pytest.approx([1, 1], rel=0.06)


def test_random_scores_are_drawn_anew_for_each_seed_cycle_and_layer() -> None:
    """Uniform on [0, 1), the same again for the same three, whatever other layers there are."""
    weight = torch.ones(2000, 1, 1, 1)
    draws = {
        (seed, cycle, layer): scored("random", {layer: weight}, ScoreContext(seed, cycle, None, list))[layer]
        for seed in (0, 1)
        for cycle in (0, 1)
        for layer in ("a", "b")
    }
    assert len({tuple(d.tolist()) for d in draws.values()}) == 8
    both = scored("random", {"b": weight, "a": weight}, ScoreContext(0, 1, None, list))
    assert torch.equal(both["a"], draws[0, 1, "a"])
    for draw in draws.values():
        assert draw.min() >= 0 and draw.max() < 1
        assert draw.mean().item() == pytest.approx(0.5, abs=0.03)
        assert len(draw.unique()) == 2000


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_float64_vectors_on_the_cpu(name: str) -> None:
    """One per filter, detached from the graph; the weights are left as they are."""
    given = {k: v.requires_grad_() for k, v in filters().items()}
    scores = scored(name, given, CONTEXT)
    assert list(scores) == list(given)
    for layer, weight in filters().items():
        assert scores[layer].shape == (len(weight),)
        assert scores[layer].dtype == torch.float64 and not scores[layer].requires_grad
        assert torch.equal(given[layer], weight)


@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_the_memory_format(name: str) -> None:
    """Channels-last weights give the same bits."""
    last = {k: v.contiguous(memory_format=torch.channels_last) for k, v in filters().items()}
    one, other = scored(name, filters(), CONTEXT), scored(name, last, CONTEXT)
    assert all(torch.equal(one[layer], other[layer]) for layer in SHAPES)


@pytest.mark.parametrize("name", NAMES)
def test_dead_filters_have_a_score(name: str) -> None:
    """A filter of norm 0, a whole layer of them and a single filter give finite scores."""
    weight = filters()["conv1"]
    weight[2] = 0
    given = {"one dead": weight, "all dead": torch.zeros(3, 2, 3, 3), "single": torch.ones(1, 2, 3, 3)}
    scores = scored(name, given, CONTEXT)
    assert all(score.isfinite().all() for score in scores.values())
    if name in ORACLES:
        assert scores["one dead"].tolist() == pytest.approx(ORACLES[name](weight), abs=1e-12)
        assert scores["all dead"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", [1e-18, 1e18])
@pytest.mark.parametrize("name", ["ortho", "ortho-dim", "ortho-released", "l1", "l2"])
def test_scores_do_not_depend_on_the_scale_of_a_layer(name: str, scale: float) -> None:
    """Very small and very large weights rank as they are, not by overflow."""
    weight = filters()["conv2"].double()
    one = scored(name, {"conv": weight}, CONTEXT)["conv"]
    other = scored(name, {"conv": (weight * scale).float()}, CONTEXT)["conv"]
    assert other.tolist() == pytest.approx(one.tolist(), rel=1e-5)
