"""What members exchange: every rule of the place `exchange` by hand, and what all of them must hold to."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from reprtune.spec.parts.members import Average, Exchange
from reprtune.training.parts.behaviour import behaviour
from tests.training.tiny import same_bits

Entries = dict[str, Tensor]
BUILT = [part for part in Exchange.kinds if part.card.code]


def members(n: int) -> list[Entries]:
    """Weights k, 10 k and so on of member k, exact in binary; a counter each."""
    return [
        {
            "weight": torch.arange(6.0).reshape(2, 3) + 8 * k,
            "mean": torch.full((2,), 4.0 * k),
            "count": torch.tensor(k),
        }
        for k in range(n)
    ]


@pytest.mark.parametrize("part", BUILT, ids=lambda part: part.kind)
@pytest.mark.parametrize("n", [2, 3, 5])
def test_every_exchange_keeps_places_and_counters(part: type[Exchange], n: int) -> None:
    """Tensors are changed in place, whole numbers stay, and members that were equal stay equal."""
    those = members(n)
    places = [{name: t.data_ptr() for name, t in one.items()} for one in those]
    behaviour(part())(those)
    assert [{name: t.data_ptr() for name, t in one.items()} for one in those] == places
    assert [int(one["count"]) for one in those] == list(range(n))
    equal = [{name: t.clone() for name, t in members(1)[0].items()} for _ in range(n)]
    behaviour(part())(equal)
    assert all(same_bits(one["weight"], equal[0]["weight"]) for one in equal)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(3, 4), Fraction(1)])
def test_an_average_by_hand(n: int, share: Fraction) -> None:
    """W_k = a W_k + (1 - a) W_(k-1), the first member reading the last, all as they were before."""
    those = members(n)
    behaviour(Average(own_share=float(share)))(those)
    for k, one in enumerate(those):
        for name in ("weight", "mean"):
            own, before = (members(n)[i % n][name].double() for i in (k, k - 1 if k else n - 1))
            expected = float(share) * own + float(1 - share) * before
            assert torch.equal(one[name].double(), expected), (k, name)


def test_two_members_that_are_averaged_are_equal() -> None:
    """Bit for bit, whatever they were."""
    generator = torch.Generator().manual_seed(0)
    those = [{"weight": torch.randn(1000, generator=generator)} for _ in range(2)]
    behaviour(Average())(those)
    assert same_bits(those[0]["weight"], those[1]["weight"])
