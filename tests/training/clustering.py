"""Clusters of networks, and networks whose clustered filters are equal already."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.clusters import Clustered
from reprtune.training.surgery.coupled_groups import Group, coupled_groups


def free_groups(model: nn.Module, example: Tensor) -> list[Group]:
    return [g for g in coupled_groups(model, example) if g.reason is None and g.n_channels > 1]


def scattered(group: Group) -> Tensor:
    """Cluster numbers of a group's channels by draw, about five eighths as many as channels; clusters lie across each other."""
    n = group.n_channels
    n_clusters = max(1, round(0.625 * n))
    draw = torch.randint(n_clusters, (n,), generator=generator(0, "clusters", group.members[0].layer, n))
    order: dict[int, int] = {}
    return torch.tensor([order.setdefault(int(number), len(order)) for number in draw])


def clustered(
    model: nn.Module, example: Tensor, numbers_of: Callable[[Group], Tensor] = scattered
) -> tuple[Clustered, ...]:
    """All groups that can be cut, in clusters."""
    return tuple(Clustered(group, numbers_of(group)) for group in free_groups(model, example))


@torch.no_grad()
def level(model: nn.Module, clusters: tuple[Clustered, ...]) -> None:
    """Every channel of a cluster gets the numbers of the cluster's first one, channel by channel."""
    for one in clusters:
        numbers = one.numbers.tolist()
        for slot in (*one.group.members, *one.group.passes):
            module = model.get_submodule(slot.layer)
            for tensor in (*module.parameters(), *module.buffers()):
                for channel, number in enumerate(numbers):
                    first = numbers.index(number)
                    for i in range(slot.size if tensor.dim() else 0):
                        mine, its = (slot.offset + c * slot.size + i for c in (channel, first))
                        tensor[mine] = tensor[its].clone()
