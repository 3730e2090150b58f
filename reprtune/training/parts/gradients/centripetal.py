"""Centripetal SGD (Ding et al., CVPR 2019, arXiv 1904.03837, equation 3): filters of a cluster become equal.

    F_j <- F_j - lr * (mean of dL/dF_k + eta F_j + eps (F_j - mean of F_k)),  means over the cluster of j

eta is the training's weight decay, which the optimizer adds as it does for every parameter; so the rule hands it
mean of dL/dF_k + eps (F_j - mean of F_k). What has one number for each channel (BatchNorm's gamma and beta, biases,
slopes) is averaged in the same way with eps / 10. The paper has no decay there; here it is as everywhere else, so
that nothing but the rule is different from plain training. BatchNorm's running statistics follow the kernels.

The loss never separates filters of a cluster, for all get the same gradient: without momentum their difference
is multiplied by 1 - lr (eps + eta) in each step.

Notations
    J       rows of the tensors of a layer: its output channels
    D       numbers in one row, of all tensors whose rows are clustered alike
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.spec.training import TrainingSpec
from reprtune.training.surgery.clusters import Clustered, by_layer, leaders_of, row_slots, title
from reprtune.training.surgery.coupled_groups import Group, groups_in
from reprtune.training.surgery.subnetwork import SubNetwork

VECTOR_SHARE = 0.1  # of eps, for what has one number per channel


@dataclass(eq=False)
class _Rows:
    """Tensors whose rows are in the same groups, and so clustered alike.

    Attributes:
        names: of the tensors, and pulls: eps of each.
        number: (J,) int64, the cluster of each row. order: (J,), rows with those of a cluster side by side; starts: (J,),
            where each cluster begins there, J for numbers that no cluster has. size: (J, 1), rows in the cluster of
            each. All lie on the device from the start and are changed in place, so that a captured step stays valid.
    """

    names: list[str]
    pulls: list[float]
    number: Tensor
    order: Tensor
    starts: Tensor
    size: Tensor

    def set(self, leader: Tensor) -> None:
        """Cluster the rows by their leaders, (J,) on the CPU."""
        _, number, counts = torch.unique(leader, return_inverse=True, return_counts=True)
        order = number.argsort(stable=True)
        self.number.copy_(number)
        self.order.copy_(order)
        self.starts.copy_(torch.searchsorted(number[order].contiguous(), torch.arange(len(leader))))
        self.size.copy_(counts[number][:, None])

    def means(self, rows: Tensor) -> Tensor:
        """(J, D) of the same shape, every row the mean of its cluster, equal bit for bit. A bag of embeddings is summed
        in one order and without waiting; where index_add_ is to be deterministic, it waits for the device."""
        return F.embedding_bag(self.order, rows, self.starts, mode="mean").index_select(0, self.number)

    def pull(self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        there = [(name, eps) for name, eps in zip(self.names, self.pulls, strict=True) if name in gradients]
        if not there:
            return
        tensors = [gradients[name] for name, _ in there] + [parameters[name] for name, _ in there]
        flat = [tensor.reshape(len(tensor), -1) for tensor in tensors]
        means = torch.split(self.means(torch.cat(flat, 1)), [rows.shape[1] for rows in flat], 1)
        n = len(there)
        for (name, eps), weight, mean_gradient, mean in zip(
            there, flat[n:], means[:n], means[n:], strict=True
        ):
            new = torch.add(mean_gradient, weight - mean, alpha=eps)
            gradients[name].copy_(new.reshape(gradients[name].shape))

    def distances(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensor -> how far on average a row is from the mean of its cluster: euclidean, over the rows that are not
        alone; 0 where all are."""
        shared = (self.size > 1).double().flatten()
        n = shared.sum().clamp_min(1)
        found = {}
        for name in self.names:
            rows = parameters[name].detach().double().reshape(len(self.number), -1)
            found[name] = torch.linalg.vector_norm(rows - self.means(rows), dim=1) @ shared / n
        return found


class Centripetal:
    """The rule for one network. Before `begin` every filter is alone, and gradients stay as they are.

    Args:
        network: in training; its optimizer is SGD, for Adam divides every row by what it is pulled with too.
        pull: eps, strength of the move towards the mean.
    """

    def __init__(self, network: SubNetwork, _training: TrainingSpec, *, pull: float) -> None:
        self.network = network
        self.groups = {title(group): group for group in groups_in(network.filters.graph, network.model)}
        self.clusters: tuple[Clustered, ...] = ()
        layouts = _layouts([group for group in self.groups.values() if group.reason is None])
        rows = ((layers[0], _rows(network.model, layers, pull)) for layers in layouts)
        self._rows = [(layer, one) for layer, one in rows if one is not None]

    def __call__(self, network: SubNetwork, gradients: Mapping[str, Tensor]) -> None:
        """Change the gradients of a step in place."""
        for _, rows in self._rows:
            rows.pull(network.parameters, gradients)

    def begin(self, chosen: Sequence[Clustered]) -> dict[str, float]:
        """Work with these clusters from now on; how many there are, of how many channels, and how far apart their
        filters are.
        """
        self.clusters = tuple(chosen)
        slots = by_layer(self.clusters, row_slots)
        for layer, rows in self._rows:
            rows.set(leaders_of(slots.get(layer, ()), len(rows.number)))
        sizes = {
            "clusters": float(sum(one.n_clusters for one in self.clusters)),
            "channels": float(sum(len(one.numbers) for one in self.clusters)),
        }
        return sizes | self.numbers()

    @torch.no_grad()
    def numbers(self) -> dict[str, float]:
        """Mean distance of a filter from the mean of its cluster: `distance` of the tensor where it is largest,
        `mean_distance` over the layers' kernels. Nothing before `begin`; waits for the device."""
        if not self.clusters:
            return {}
        parameters = self.network.parameters
        found = {n: d for _, rows in self._rows for n, d in rows.distances(parameters).items()}
        kernels = torch.stack([d for name, d in found.items() if parameters[name].dim() > 1])
        return {
            "distance": float(torch.stack([*found.values()]).max()),
            "mean_distance": float(kernels.mean()),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The clusters, by the titles of their groups."""
        return {title(one.group): one.numbers for one in self.clusters}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        self.begin([Clustered(self.groups[name], numbers.cpu()) for name, numbers in tensors.items()])


def _layouts(groups: Sequence[Group]) -> list[list[str]]:
    """Layers whose rows are in the same groups at the same places, together."""
    places: dict[str, list[tuple[int, int, int]]] = {}
    for number, group in enumerate(groups):
        for slot in row_slots(group):
            places.setdefault(slot.layer, []).append((number, slot.offset, slot.size))
    alike: dict[tuple[tuple[int, int, int], ...], list[str]] = {}
    for layer, slots in places.items():
        alike.setdefault(tuple(slots), []).append(layer)
    return list(alike.values())


def _rows(model: nn.Module, layers: Sequence[str], pull: float) -> _Rows | None:
    """The parameters of these layers, every row alone; None where they have none."""
    named = {
        f"{layer}.{key}": tensor
        for layer in layers
        for key, tensor in model.get_submodule(layer).named_parameters()
    }
    if not named:
        return None
    pulls = [pull if tensor.dim() > 1 else VECTOR_SHARE * pull for tensor in named.values()]
    first = next(iter(named.values()))
    alone = torch.arange(len(first), device=first.device)
    size = torch.ones_like(alone)[:, None]
    return _Rows(list(named), pulls, alone, alone.clone(), alone.clone(), size)
