"""Channels in clusters: of each coupled group, which channels are to become one.

Where channels of a group become equal, so do the rows of everything that makes them or has something of its own
for them: the first channel of a cluster, the one that stays, stands for all.

Notations
    n           channels of a group
    K           its clusters
    leader[i]   row (or column) that stays where row i of a tensor is taken out: the one of the first channel of
                its cluster. Where leader[i] = i, row i stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reprtune.training.surgery.coupled_groups import Group, Slot


@dataclass(frozen=True, eq=False)
class Clustered:
    """A group of channels in clusters.

    Attributes:
        numbers: cluster of each channel, (n,) int64 on the CPU, 0 ... K - 1 in the order of their first channels.
    """

    group: Group
    numbers: Tensor

    @property
    def n_clusters(self) -> int:
        return int(self.numbers.max()) + 1

    def leaders(self) -> Tensor:
        """The first channel of each channel's cluster, (n,)."""
        first = torch.full((self.n_clusters,), len(self.numbers))
        first.scatter_reduce_(0, self.numbers, torch.arange(len(self.numbers)), "amin")
        return first[self.numbers]


def title(group: Group) -> str:
    """A name of a group that no other group of the network has: `conv1/0`."""
    first = group.members[0]
    return f"{first.layer}/{first.offset}"


def in_order(labels: Iterable[int]) -> Tensor:
    """Clusters numbered anew, by their first channels."""
    new: dict[int, int] = {}
    return torch.tensor([new.setdefault(label, len(new)) for label in labels])


def leaders_of(slots: Sequence[tuple[Slot, Tensor]], size: int) -> Tensor:
    """leader (size,) of the rows of a tensor: slots of its layer, each with the leaders of its group's channels."""
    leader = torch.arange(size)
    for slot, first in slots:
        place = torch.arange(len(first) * slot.size)
        channel, within = place // slot.size, place % slot.size
        leader[slot.offset + place] = slot.offset + first[channel] * slot.size + within
    return leader


def row_slots(group: Group) -> tuple[Slot, ...]:
    """Where channels of a group have rows: what makes them, and what is on their way."""
    return (*group.members, *group.passes)


def by_layer(
    clusters: Iterable[Clustered], slots_of: Callable[[Group], Sequence[Slot]]
) -> dict[str, list[tuple[Slot, Tensor]]]:
    """Layer -> those slots of its groups, each with the leaders of the group's channels."""
    found: dict[str, list[tuple[Slot, Tensor]]] = {}
    for one in clusters:
        first = one.leaders()
        for slot in slots_of(one.group):
            found.setdefault(slot.layer, []).append((slot, first))
    return found
