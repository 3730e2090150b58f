"""Torch-Pruning (MIT, https://github.com/VainF/Torch-Pruning), which finds what goes together in a way of its own."""

from __future__ import annotations

import copy

import pytest
import torch
import torch_pruning as tp
from torch import Tensor, nn

from reprtune.training.surgery.clusters import Clustered
from reprtune.training.surgery.trim import trim
from tests.training.clustering import clustered
from tests.training.test_trim import NETWORKS, network

UNABLE = {"resnet-20", "padded"}  # it does not know of channels of zeros before or after others


def gone(one: Clustered) -> list[int]:
    """Channels that are not the first of their cluster."""
    return [i for i, leader in enumerate(one.leaders().tolist()) if leader != i]


def pruned(model: nn.Module, example: Tensor, clusters: tuple[Clustered, ...]) -> nn.Module:
    """By Torch-Pruning, one group after another, without the channels that are not the first of their clusters."""
    model = copy.deepcopy(model).eval()
    before: list[Clustered] = []
    for one in clusters:
        slot = one.group.members[0]
        taken = sum(  # from the same layer, before the group's place in it
            len(gone(other)) for other in before for s in other.group.members
            if s.layer == slot.layer and s.offset < slot.offset
        )  # fmt: skip
        before.append(one)
        if rows := [slot.offset - taken + i for i in gone(one)]:
            graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
            layer = model.get_submodule(slot.layer)
            graph.get_pruning_group(layer, tp.prune_conv_out_channels, idxs=rows).prune()
    return model


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in UNABLE])
def test_another_library_takes_out_the_same(name: str) -> None:
    """Every tensor has the same shape; and the same numbers, but in what reads clusters, where columns are summed."""
    model, size = network(name)
    example = torch.zeros(1, 3, size, size, dtype=torch.float64)
    clusters = clustered(model, example)
    ours, form = trim(model, clusters)
    theirs = pruned(model, example, clusters).state_dict()
    assert {key: t.shape for key, t in ours.state_dict().items()} == {
        key: t.shape for key, t in theirs.items()
    }
    summed = {f"{layer}.weight" for layer in form["columns"]}
    assert summed and all(
        torch.equal(t, theirs[key]) for key, t in ours.state_dict().items() if key not in summed
    )
