"""Take out of a network what has become equal, so that a smaller one says the same (C-SGD, arXiv 1904.03837, 3.3).

Of each cluster of channels the first stays: its rows in all that makes the channels or has something of its own for
them. What reads them gets, in the column of the one that stays, the sum of the cluster's columns. That is exact where
the rows of a cluster are equal.

The form of the smaller network says which rows and columns stay, and how many channels of zeros each call of F.pad
adds: `{"kind": "trim", "rows": {layer: [...]}, "columns": {layer: [...]}, "pads": {call: [before, after]}}`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from reprtune.errors import ModelError
from reprtune.training.surgery.channels import argument
from reprtune.training.surgery.clusters import Clustered, by_layer, leaders_of, row_slots

KIND = "trim"


def trim(model: nn.Module, clusters: Iterable[Clustered]) -> tuple[nn.Module, dict[str, Any]]:
    """The smaller network and its form; `model` stays as it is.

    Args:
        clusters: of groups of this network.
    """
    clusters = tuple(clusters)
    columns = {
        layer: leaders_of(slots, model.get_parameter(f"{layer}.weight").shape[1])
        for layer, slots in by_layer(clusters, lambda group: group.readers).items()
    }
    rows = {
        layer: leaders_of(slots, _n_rows(model.get_submodule(layer)))
        for layer, slots in by_layer(clusters, row_slots).items()
    }
    form = {
        "kind": KIND,
        "rows": {layer: _staying(leader) for layer, leader in rows.items() if not _is_whole(leader)},
        "columns": {layer: _staying(leader) for layer, leader in columns.items() if not _is_whole(leader)},
        "pads": _pads(model, clusters),
    }
    summed = copy.deepcopy(model)
    for layer, leader in columns.items():
        add_up(summed.get_parameter(f"{layer}.weight"), leader)
    return trimmed_structure(summed, form), form


@torch.no_grad()
def add_up(weight: Tensor, leader: Tensor) -> None:
    """Into each column that stays, the sum of its cluster's, in place; the others are 0 afterwards."""
    sums = torch.zeros_like(weight).index_add_(1, leader.to(weight.device), weight)
    weight.copy_(sums)


def trimmed_structure(model: nn.Module, form: Mapping[str, Any], _example: Tensor | None = None) -> nn.Module:
    """The rows and columns that stay, `model` changed in place; another module, with the same names of parameters
    and buffers, where calls of F.pad change: it computes what `model` does in evaluation mode, and in training too
    but for a function, such as F.dropout, that is told of the mode.

    Raises:
        ModelError: the form is of another network.
    """
    for layer, kept in form["columns"].items():
        module = _module(model, layer)
        _take(module, "weight", 1, kept)
        setattr(module, "in_features" if isinstance(module, nn.Linear) else "in_channels", len(kept))
    for layer, kept in form["rows"].items():
        module = _module(model, layer)
        for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.dim() > 0:
                _take(module, key, 0, kept)
        _note_rows(module, len(kept))
    return _with_pads(model, form["pads"]) if form["pads"] else model


def _module(model: nn.Module, layer: str) -> nn.Module:
    try:
        return model.get_submodule(layer)
    except AttributeError as error:
        raise ModelError(
            f"A trimmed network has no layer {layer!r} to trim: it was made of another one."
        ) from error


@torch.no_grad()
def _take(module: nn.Module, key: str, dim: int, kept: list[int]) -> None:
    tensor = getattr(module, key)
    part = tensor.index_select(dim, torch.tensor(kept, device=tensor.device))
    new = nn.Parameter(part, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else part
    setattr(module, key, new)


def _noted(module: nn.Module) -> str:
    """Where a module notes how many rows its tensors have."""
    if isinstance(module, nn.Conv2d):
        return "out_channels"
    if isinstance(module, nn.Linear):
        return "out_features"
    return "num_parameters" if isinstance(module, nn.PReLU) else "num_features"


def _n_rows(module: nn.Module) -> int:
    return int(getattr(module, _noted(module)))


def _note_rows(module: nn.Module, n: int) -> None:
    setattr(module, _noted(module), n)
    if isinstance(module, nn.Conv2d) and module.groups > 1:  # depthwise: it has a group for each channel
        module.groups = module.in_channels = n


def _is_whole(leader: Tensor) -> bool:
    return bool((leader == torch.arange(len(leader))).all())


def _staying(leader: Tensor) -> list[int]:
    return (leader == torch.arange(len(leader))).nonzero().flatten().tolist()


# -- padding with channels of zeros ----------------------------------------------------------------


def _pads(model: nn.Module, clusters: Iterable[Clustered]) -> dict[str, list[int]]:
    """Call of F.pad -> how many channels it adds before and after, where that changes."""
    gone: dict[str, list[int]] = {}
    for call, slots in by_layer(clusters, lambda group: group.pads).items():
        last = max(slot.offset + slot.size * len(first) for slot, first in slots)
        leader = leaders_of(slots, last)
        gone[call] = (leader != torch.arange(last)).nonzero().flatten().tolist()
    found = {}
    if any(gone.values()):
        nodes = {node.name: node for node in fx.symbolic_trace(model).graph.nodes}
        for call, rows in gone.items():
            before, after = _padding(nodes[call])[4:]
            n_before = sum(row < before for row in rows)
            if rows:
                found[call] = [before - n_before, after - len(rows) + n_before]
    return found


def _padding(node: fx.Node) -> tuple[int, ...]:
    return tuple(argument(node, 1, "pad"))


def _with_pads(model: nn.Module, pads: Mapping[str, list[int]]) -> fx.GraphModule:
    """The network as its graph, with other padding, and all its modules under their names."""
    mode = model.training
    new = fx.symbolic_trace(model.eval())
    nodes = {node.name: node for node in new.graph.nodes}
    for call, (before, after) in pads.items():
        node = nodes.get(call)
        if node is None or node.target is not F.pad:
            raise ModelError(f"A trimmed network has no call {call!r} of F.pad: it was made of another one.")
        padding = (*_padding(node)[:4], before, after)
        if "pad" in node.kwargs:
            node.kwargs = {**node.kwargs, "pad": padding}
        else:
            node.args = (node.args[0], padding, *node.args[2:])
    new.recompile()
    _adopt(new, model)
    return new.train(mode)


def _adopt(new: fx.GraphModule, model: nn.Module) -> None:
    """What the graph does not use has numbers and names too."""
    for name in model.state_dict().keys() - new.state_dict().keys():
        layer, _, key = name.rpartition(".")
        try:
            setattr(new.get_submodule(layer), key, getattr(model.get_submodule(layer), key))
        except AttributeError:
            new.add_submodule(layer, model.get_submodule(layer))
