"""Filters in clusters that are to become equal (C-SGD, arXiv 1904.03837, section 3.2).

Clusters are of coupled groups: all layers whose outputs are added share those of the first of them, and whatever
is on the way of a channel goes with it. What only a linear layer makes is in no group, and so is never clustered.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.filter_rows import filter_rows
from reprtune.training.platform.seeds import derive
from reprtune.training.surgery.clusters import Clustered, in_order, title
from reprtune.training.surgery.coupled_groups import Group, groups_in
from reprtune.training.surgery.subnetwork import SubNetwork


def check(network: SubNetwork, *, kept_share: float, cluster_by: str, **who: Any) -> None:  # noqa: ARG001 - an option
    """Before anything is trained: whether clusters can be made.

    Raises:
        SpecError: as `candidates`; or every filter would be alone although it is not meant to be.
    """
    sizes = [group.n_channels for group in candidates(network, **who)]
    if kept_share < 1 and all(n_clusters(size, kept_share) == size for size in sizes):
        raise SpecError(
            f"method.kept_share = {kept_share} leaves every filter alone: the layers have {min(sizes)} to {max(sizes)} "
            "of them.",
            "Lower it, or set model.width higher.",
        )


def select(
    context: ScoreContext, _scores: object, *, kept_share: float, cluster_by: str, **who: Any
) -> tuple[Clustered, ...]:
    """The clusters of every group that is not left out.

    Args:
        who: what is left out, see `candidates`.

    Raises:
        SpecError: as `candidates`.
    """
    clusters = []
    for group in candidates(context.network, **who):
        n = n_clusters(group.n_channels, kept_share)
        if cluster_by == "even":
            numbers = even(group.n_channels, n)
        elif cluster_by == "imbalanced":
            numbers = imbalanced(group.n_channels, n)
        else:
            seed = derive(context.seed, "clusters", context.member, title(group))
            numbers = k_means(_first_kernels(context.network, group), n, seed)
        clusters.append(Clustered(group, numbers))
    return tuple(clusters)


def n_clusters(n_channels: int, kept_share: float) -> int:
    """round(kept_share * n), at least one."""
    return max(1, round(kept_share * n_channels))


def candidates(
    network: SubNetwork, *, exclude_first: bool, exclude: Sequence[str], inner_only: bool
) -> list[Group]:
    """The groups that are clustered: those whose channels can be cut, but for what is left out. `exclude_first`
    leaves out nothing where every layer reads the input.

    Raises:
        SpecError: a pattern of `method.exclude` matches no layer of theirs, or none is left.
    """
    groups = groups_in(network.filters.graph, network.model)
    free = [group for group in groups if group.reason is None and group.n_channels > 1]
    names = [slot.layer for group in free for slot in group.members]
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SpecError(
                f"method.exclude must match layers whose filters can be cut, but {pattern!r} matches none.",
                f"They are {', '.join(dict.fromkeys(names)) or 'none at all'}.",
            )
    deep = [group for group in free if not (exclude_first and _reads_input(group, network))]
    left = [group for group in deep or free if not _is_excluded(group, exclude, inner_only)]
    if not left:
        fields = {"exclude_first": exclude_first, "exclude": tuple(exclude), "inner_only": inner_only}
        values = ", ".join(f"method.{name} = {value}" for name, value in fields.items())
        reasons = "; ".join(dict.fromkeys(f"{title(g)}: {g.reason}" for g in groups if g.reason is not None))
        raise SpecError(
            f"At least one layer must be left to cluster, but {values} leave out all of them"
            f"{f' whose filters can be cut ({reasons})' if reasons else ''}.",
            "Leave out fewer layers, or take another network.",
        )
    return left


def _reads_input(group: Group, network: SubNetwork) -> bool:
    return any(slot.layer in network.filters.first for slot in group.members)


def _is_excluded(group: Group, exclude: Sequence[str], inner_only: bool) -> bool:
    """Inner channels are of one layer alone: nothing is added to them, nor are they to anything."""
    if inner_only and (len({slot.layer for slot in group.members}) > 1 or group.pads):
        return True
    return any(fnmatchcase(slot.layer, pattern) for slot in group.members for pattern in exclude)


def _first_kernels(network: SubNetwork, group: Group) -> Tensor:
    """The kernels of the first layer that makes the group's channels, flat, (n, d) float64 on the CPU."""
    slot = group.members[0]
    rows = filter_rows(network.parameters[f"{slot.layer}.weight"].detach())
    return rows[slot.offset : slot.offset + group.n_channels * slot.size].reshape(group.n_channels, -1)


# -- ways to cluster -------------------------------------------------------------------------------


def even(n: int, n_wanted: int) -> Tensor:
    """Neighbours, as many in each cluster as in any other, or one more."""
    return torch.arange(n) * n_wanted // n


def imbalanced(n: int, n_wanted: int) -> Tensor:
    """The first n - K + 1 in one cluster, each of the others alone."""
    return (torch.arange(n) - (n - n_wanted)).clamp_min(0)


def k_means(kernels: Tensor, n_wanted: int, seed: int) -> Tensor:
    """Lloyd's algorithm from one draw of k-means++, on one thread, so that sums have one order.

    Args:
        kernels: (n, d) float64. seed: any whole number; 32 bits of it count.

    Returns:
        (n,) cluster numbers, exactly `n_wanted` of them: where there are fewer different kernels, equal ones are
        divided.
    """
    if n_wanted == len(kernels):
        return torch.arange(len(kernels))
    means = KMeans(n_wanted, n_init=1, random_state=seed % 2**32)
    with threadpool_limits(1), catch_warnings():
        simplefilter("ignore", ConvergenceWarning)  # of fewer different kernels than clusters
        labels = means.fit(kernels.numpy()).labels_.tolist()
    numbers = in_order(labels)
    while (found := int(numbers.max()) + 1) < n_wanted:
        largest = int(numbers.bincount().argmax())
        numbers[(numbers == largest).nonzero()[-1]] = found
    return in_order(numbers.tolist())
