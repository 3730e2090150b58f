"""The crossing of weak filters with strong ones, against numpy, tap by tap."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from reprtune.spec.parts.restores import Crossover
from reprtune.training.parts.restores import Restored, RuleContext, restore_filters
from reprtune.training.platform.seeds import generator

MASK = torch.tensor([False, True, True, False, False, True, False, False])


def layer(*shape: int) -> Tensor:
    """Filters of different sizes, so that their order is no accident."""
    sizes = torch.rand(shape[0], generator=generator(1, "sizes"))
    return torch.randn(shape, generator=generator(0, *shape)) * sizes.reshape(-1, *[1] * (len(shape) - 1))


def cross(weight: Tensor, mask: Tensor = MASK, share: float = 0.1) -> Restored:
    context = RuleContext(generator(0, "restore"), lambda: torch.empty(0))
    return restore_filters(Crossover(cross_share=share), weight, mask, context)


def expected(weight: NDArray[np.float64], mask: list[bool], share: float) -> NDArray[np.float64]:
    """Filter by filter, channel by channel, tap by tap."""
    size = [np.abs(f).sum() for f in weight]
    weak = sorted((i for i, m in enumerate(mask) if m), key=lambda i: -size[i])
    strong = sorted((i for i, m in enumerate(mask) if not m), key=lambda i: -size[i])
    new = weight.copy()
    for i, j in zip(weak, strong, strict=False):
        if weight[0, 0].size == 1:
            a = size[i] / (size[i] + size[j])
            new[i] = a * weight[i] + (1 - a) * weight[j]
            continue
        for channel in range(weight.shape[1]):
            mine, theirs = weight[i, channel].ravel(), weight[j, channel].ravel()
            low, high = np.argsort(np.abs(mine)), np.argsort(-np.abs(theirs))
            for k in range(math.ceil(share * mine.size - 1e-9)):
                s, other = mine[low[k]], theirs[high[k]]
                a = abs(s) / (abs(s) + abs(other))
                new[i, channel].ravel()[low[k]] = a * s + (1 - a) * other
    return new[np.array(mask)]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(
    "shape", [(8, 4, 3, 3), (8, 1, 3, 3), (8, 6, 1, 1), (8, 12), (8, 2, 1, 5), (8, 2, 2, 5)]
)
def test_taps_are_those_of_brute_force(shape: tuple[int, ...], share: float) -> None:
    """Of each kernel the smallest taps, with the largest of the strong kernel; of one tap the whole filter."""
    weight = layer(*shape)
    result = cross(weight, share=share)
    assert result.weight.shape == (3, *shape[1:]) and result.levels == ("crossed",) * 3
    found = result.weight.double().numpy()
    assert found == pytest.approx(expected(weight.double().numpy(), MASK.tolist(), share), abs=1e-6)


def test_by_hand() -> None:
    """Of (4, -1, 2) beside (-3, 8, 5) the smallest tap, -1, meets the largest, 8: 1/9 of it and 8/9 of the
    other, which is 7; the two strong filters are ordered by size, so that the second is not met."""
    strong, other, weak = [-3.0, 8, 5], [1.0, 1, 1], [4.0, -1, 2]
    weight = torch.tensor([other, weak, strong]).reshape(3, 1, 1, 3)
    assert cross(weight, torch.tensor([False, True, False])).weight.flatten().tolist() == [4, 7, 2]


def test_the_largest_weak_filter_meets_the_largest_strong_one() -> None:
    """And who finds nobody stays as it was, and says so: one strong filter, two weak ones."""
    weight = torch.tensor([[1.0], [2], [3]]).reshape(3, 1, 1, 1)
    result = cross(weight, torch.tensor([True, True, False]))
    assert result.levels == ("alone", "crossed")
    assert result.weight.flatten().tolist() == pytest.approx([1, (2 * 2 + 3 * 3) / 5])


def test_nothing_is_larger_than_what_it_came_from() -> None:
    """Also where taps are nearly opposite, which the released form, 2 s l / (s + l), takes to infinity."""
    weight = torch.tensor([[-1.0, 2, 5], [1.0000001, 0.9, 0.8]]).reshape(2, 1, 1, 3)
    new = cross(weight, torch.tensor([True, False]), share=1.0).weight
    assert new.abs().max() <= 5 and new.isfinite().all()
    for seed in range(20):
        many = torch.randn(8, 4, 3, 3, generator=generator(seed, "many"))
        assert cross(many, share=1.0).weight.abs().max() <= many.abs().max()


def test_a_share_of_nothing_leaves_the_old_filters() -> None:
    """Bit for bit: the null of the option."""
    for shape in ((8, 4, 3, 3), (8, 6, 1, 1)):
        weight = layer(*shape)
        assert torch.equal(cross(weight, share=0.0).weight, weight[MASK])


def test_dead_filters_stay_finite() -> None:
    """0 beside 0 is 0; 0 beside a strong tap becomes that."""
    assert not cross(torch.zeros(8, 2, 3, 3)).weight.any()
    weight = torch.zeros(2, 1, 1, 2)
    weight[1] = 3
    assert cross(weight, torch.tensor([True, False])).weight.flatten().tolist() == [3, 0]


def test_nothing_is_drawn_or_changed() -> None:
    """Channels-last weights with gradients too; the result has their type and shares no memory."""
    weight = layer(8, 2, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    before, state = weight.detach().clone(), torch.random.get_rng_state()
    new = cross(weight).weight
    assert torch.equal(new, cross(before.contiguous()).weight)
    assert new.dtype == torch.float32 and not new.requires_grad
    new += 1
    assert torch.equal(weight, before) and torch.equal(torch.random.get_rng_state(), state)
