"""Which filters are to become equal: groups, ways to cluster, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reprtune.errors import SpecError
from reprtune.spec.parts.selections import Clusters
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.selections.clusters import even, imbalanced, k_means
from reprtune.training.surgery.clusters import Clustered, leaders_of, title
from reprtune.training.surgery.coupled_groups import Group, Slot
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.test_removal import built
from tests.training.toy_networks import TOYS


def chosen(
    model: nn.Module, size: int = 8, seed: int = 0, member: int = 0, **options: Any
) -> Mapping[str, Clustered]:
    """What the selection takes, by the titles of the groups."""
    dtype = next(model.parameters()).dtype
    filters = find_filters(model, torch.zeros(1, 3, size, size, dtype=dtype))
    context = ScoreContext(seed, 0, SubNetwork(model, filters, {}), lambda: (), member)
    found = behaviour(Clusters(**options))(context, None)
    return {title(one.group): one for one in found}


def resnet(**options: Any) -> Mapping[str, Clustered]:
    model, _, size = built("resnet-20")
    return chosen(model, size, **options)


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_even_and_imbalanced_clusters(n: int) -> None:
    """Even: neighbours, of sizes that differ by one at most. Imbalanced: the first n - K + 1, and singles."""
    for n_clusters in range(1, n + 1):
        sizes = even(n, n_clusters).bincount()
        assert len(sizes) == n_clusters and sizes.max() - sizes.min() <= 1
        assert (even(n, n_clusters).diff() >= 0).all()
        assert imbalanced(n, n_clusters).tolist() == [0] * (n - n_clusters) + [*range(n_clusters)]
    assert even(8, 5).tolist() == [0, 0, 1, 1, 2, 3, 3, 4]


def test_k_means_finds_what_is_close() -> None:
    """Three heaps far apart, in any order, are the clusters, numbered by their first filters; every seed agrees."""
    heap = np.array([2, 0, 1, 1, 0, 2, 2, 0])
    noise = np.random.default_rng(0).normal(size=(8, 12))
    kernels = torch.from_numpy(100.0 * heap[:, None] + noise)
    for seed in (0, 1, 2**62 + 5):
        assert k_means(kernels, 3, seed).tolist() == [0, 1, 2, 2, 1, 0, 0, 1]


def test_k_means_is_as_good_as_the_best() -> None:
    """Against every way to divide 6 filters in 2: never worse than a move of one filter would make it."""
    kernels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def spread(numbers: np.ndarray) -> float:
        rows = kernels.numpy()
        parts = [rows[numbers == i] for i in set(numbers.tolist())]
        return float(sum(((part - part.mean(0)) ** 2).sum() for part in parts))

    every = [np.array([0, *(number >> i & 1 for i in range(5))]) for number in range(1, 32)]
    found = min(spread(k_means(kernels, 2, seed).numpy()) for seed in range(5))
    assert found == pytest.approx(min(map(spread, every)), rel=1e-12)


def test_equal_filters_are_divided_too() -> None:
    """As many clusters as asked for, though fewer filters differ; the first filter of each is its own."""
    kernels = torch.tensor([[1.0], [1.0], [1.0], [2.0], [1.0]], dtype=torch.float64)
    for n_clusters in range(1, 6):
        numbers = k_means(kernels, n_clusters, 0)
        assert len(set(numbers.tolist())) == n_clusters == int(numbers.max()) + 1
    assert k_means(kernels, 2, 0).tolist() == [0, 0, 0, 1, 0]
    assert k_means(kernels, 5, 0).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("way", ["k-means", "even", "imbalanced"])
def test_every_group_gets_its_share(way: str) -> None:
    """Of resnet-20 with 4, 4 and 8 channels in its stream: round(0.625 n) clusters of each, inner layers too."""
    found = resnet(kept_share=0.625, cluster_by=way, exclude_first=False)
    widths = {f"stage{stage}.{block}.conv1/0": 2 ** (stage + 1) for stage in (1, 2, 3) for block in range(3)}
    widths |= {"conv1/0": 4, "stage2.0.conv2/4": 4, "stage3.0.conv2/8": 8}
    assert {name: one.group.n_channels for name, one in found.items()} == widths
    for one in found.values():
        assert one.n_clusters == round(0.625 * one.group.n_channels) == len(set(one.numbers.tolist()))
        assert len(one.numbers) == one.group.n_channels and one.numbers[0] == 0


def test_a_stage_has_the_clusters_of_its_first_layer() -> None:
    """k-means looks at the kernels of the first layer that makes the group's channels, and at no others."""
    model, _, size = built("resnet-20")
    before = chosen(model, size, exclude_first=False)["conv1/0"].numbers.tolist()
    with torch.no_grad():
        model.get_parameter("stage1.0.conv2.weight").normal_()
    assert chosen(model, size, exclude_first=False)["conv1/0"].numbers.tolist() == before
    with torch.no_grad():  # the first and the last filter far from the others
        model.get_parameter("conv1.weight").normal_()[[0, 3]] += 100
        model.get_parameter("conv1.weight")[1:3] -= torch.tensor([200.0, 210.0])[:, None, None, None]
    assert chosen(model, size, exclude_first=False)["conv1/0"].numbers.tolist() == [0, 1, 1, 0]


def test_clusters_are_drawn_for_trial_and_member() -> None:
    """The same seed and member give the same clusters; another of either draws anew."""
    a, b = resnet(), resnet()
    assert all(torch.equal(a[name].numbers, b[name].numbers) for name in a)
    for other in (resnet(seed=1), resnet(member=1)):
        assert any(not torch.equal(a[name].numbers, other[name].numbers) for name in a)


def test_what_is_left_out() -> None:
    """The stem with all that it is added to; layers by name, with the groups that they belong to; streams."""
    everything = set(resnet(exclude_first=False))
    assert everything - set(resnet()) == {"conv1/0"}
    assert everything - set(resnet(exclude_first=False, exclude=("stage2.*",))) == {
        "conv1/0", "stage2.0.conv2/4", *(f"stage2.{block}.conv1/0" for block in range(3)),
    }  # fmt: skip
    inner = {f"stage{stage}.{block}.conv1/0" for stage in (1, 2, 3) for block in range(3)}
    assert set(resnet(exclude_first=False, inner_only=True)) == inner


def test_the_first_layer_stays_where_it_is_the_only_one() -> None:
    """`exclude_first` leaves out nothing where every layer reads the input."""
    assert set(chosen(TOYS["flatten-function"][0]())) == {"conv1/0"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dense", {"exclude": ("x*",)}, "method.exclude must match layers whose filters can be cut, but 'x*' matches none."),
        ("dense", {"exclude": ("*",)}, "method.exclude = ('*',), method.inner_only = False leave out all of them."),
        ("flatten-reshape", {}, "leave out all of them whose filters can be cut (conv1/0: its output passes through reshape)."),
    ],
)  # fmt: skip
def test_nothing_to_cluster_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    """With what leaves it out."""
    with pytest.raises(SpecError) as caught:
        chosen(TOYS[name][0](), **options)
    assert message in caught.value.message and caught.value.hint


def test_the_first_of_a_cluster_leads_its_rows() -> None:
    """By hand: 3 channels of 2 rows each from row 1 on; channels 0 and 2 are one."""
    group = Group(3, (Slot("a", 1, 2),), (), (), (), None)
    one = Clustered(group, torch.tensor([0, 1, 0]))
    assert one.leaders().tolist() == [0, 1, 0]
    assert leaders_of([(group.members[0], one.leaders())], 9).tolist() == [0, 1, 2, 3, 4, 1, 2, 7, 8]


def test_options_of_clusters() -> None:
    """A share above 0; 1 leaves every filter alone."""
    with pytest.raises(SpecError, match="kept_share must be above 0"):
        Clusters(kept_share=0)
    for way in ("k-means", "even", "imbalanced"):
        alone = chosen(TOYS["dense"][0](), kept_share=1.0, cluster_by=way)
        assert all(one.numbers.tolist() == [*range(one.group.n_channels)] for one in alone.values())
