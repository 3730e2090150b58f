"""Grafting within one network: which filters are weak, what they are given, and that noise fades."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from reprtune.spec.parts.members import Internal, Noise
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.exchanges import ExchangeContext

LAYERS = ("a", "b")


def context(number: int = 0, seed: int = 3) -> ExchangeContext:
    return ExchangeContext(seed, number, LAYERS, {"a.weight": "a", "b.weight": "b"}, {})


def layers(*sizes: float) -> dict[str, Tensor]:
    """Two layers of filters with two weights, of these L1 norms; signs differ."""
    weight = torch.tensor([[s / 4, -s * 3 / 4] for s in sizes]).reshape(-1, 2, 1, 1)
    return {"a.weight": weight, "b.weight": 2 * weight}


def internal(weight: np.ndarray, below: float) -> np.ndarray:
    """By hand: sorted by size, the i-th largest into the i-th smallest that is weak, up to half of them."""
    rows = weight.reshape(len(weight), -1)
    order = sorted(range(len(rows)), key=lambda j: (np.abs(rows[j]).sum(), j))
    weak = [j for j in order if np.abs(rows[j]).sum() < below][: len(rows) // 2]
    new = weight.copy()
    for i, j in enumerate(weak):
        new[j] = weight[j] + weight[order[-1 - i]]
    return new


@pytest.mark.parametrize("below", [0.0, 1.0, 2.5, 5.0, 100.0])
@pytest.mark.parametrize("sizes", [(4, 1, 8, 2, 16), (1, 1, 1, 1), (0, 0, 3), (5,), (2, 4)])
def test_weak_filters_take_over_strong_ones(below: float, sizes: tuple[float, ...]) -> None:
    """In each layer by itself, from what all filters were before; a filter below gamma, not at it, is weak."""
    member = layers(*sizes)
    expected = {name: internal(t.double().numpy(), below) for name, t in member.items()}
    behaviour(Internal(weak_below=below))([member], context())
    for name, value in expected.items():
        np.testing.assert_allclose(member[name].double().numpy(), value, rtol=1e-6)


def test_a_filter_by_hand() -> None:
    """Sizes 4, 1, 8, 2: below 3 are the second and the fourth, which take over the third and the first."""
    member = layers(4, 1, 8, 2)
    behaviour(Internal(weak_below=3.0))([member], context())
    assert member["a.weight"].flatten(1).tolist() == [[1, -3], [2.25, -6.75], [2, -6], [1.5, -4.5]]
    assert member["b.weight"].flatten(1).tolist() == [[2, -6], [4.5, -13.5], [4, -12], [1, -3]]


def noise_added(member: dict[str, Tensor], rule: Noise, number: int = 0, seed: int = 3) -> dict[str, Tensor]:
    before = {name: t.clone() for name, t in member.items()}
    behaviour(rule)([member], context(number, seed))
    return {name: t - before[name] for name, t in member.items()}


def test_only_weak_filters_get_noise() -> None:
    """Each the same draws, whoever else is weak."""
    few = noise_added(layers(4, 1, 8, 2), Noise(weak_below=1.5))["a.weight"].flatten(1)
    more = noise_added(layers(4, 1, 8, 2), Noise(weak_below=3.0))["a.weight"].flatten(1)
    assert [bool(row.any()) for row in few] == [False, True, False, False]
    assert [bool(row.any()) for row in more] == [False, True, False, True]
    assert torch.equal(few[1], more[1])


def test_noise_is_seeded() -> None:
    """By the trial, the number of the exchange and the layer, and by nothing else."""
    rule = Noise(weak_below=100.0, noise_base=0.5)
    first = noise_added(layers(1, 2), rule)
    again = noise_added(layers(1, 2), rule)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["a.weight"], first["b.weight"])
    assert not torch.equal(first["a.weight"], noise_added(layers(1, 2), rule, seed=4)["a.weight"])
    later = noise_added(layers(1, 2), rule, number=1)["a.weight"] * 2  # as if it did not fade
    assert not torch.allclose(first["a.weight"], later)


def test_every_network_has_noise_of_its_own() -> None:
    """The first what it would have alone, the second another."""
    alone, two = [layers(1, 2)], [layers(1, 2), layers(1, 2)]
    for members in (alone, two):
        behaviour(Noise(weak_below=100.0))(members, context())
    assert torch.equal(two[0]["a.weight"], alone[0]["a.weight"])
    assert not torch.equal(two[0]["a.weight"], two[1]["a.weight"])


@pytest.mark.parametrize("number", [0, 1, 5])
@pytest.mark.parametrize("base", [0.9, 0.25, 0.0])
def test_noise_has_the_deviation_it_should_and_fades(number: int, base: float) -> None:
    """a^t, t from 1; the mean of 20,000 draws is 0 and their deviation that, within 5 standard errors."""
    member = {"a.weight": torch.zeros(100, 200, 1, 1), "b.weight": torch.zeros(2, 1, 1, 1)}
    added = noise_added(member, Noise(weak_below=1.0, noise_base=base), number)["a.weight"].double()
    deviation, n = base ** (number + 1), 20_000
    assert float(added.mean()) == pytest.approx(0, abs=5 * deviation / n**0.5)
    assert float(added.std()) == pytest.approx(deviation, abs=5 * deviation / (2 * n) ** 0.5)
