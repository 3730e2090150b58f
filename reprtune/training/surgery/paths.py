"""The ways that filters take through a network's graph: where a layer's activation is read, and which
convolutions lie on the shortcut of a residual block."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import fx, nn

from reprtune.training.surgery import channels
from reprtune.training.surgery.channels import Value, shape_of
from reprtune.training.surgery.filter_map import slices


def taps(
    graph: fx.Graph, model: nn.Module, values: Mapping[fx.Node, Value], layers: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, str]]:
    """Layer -> the node where its activation is read; layer -> the BatchNorm before that, if any.

    From the convolution on, as long as there is one reader, it works pixel by pixel, and its output is
    owned by exactly the layer's filters. So everything that is made of a filter is made of this one tensor.
    """
    found: dict[str, str] = {}
    norms: dict[str, str] = {}
    ranges = slices(layers)
    for node in graph.nodes:
        name = str(node.target)
        if node.op != "call_module" or name not in ranges:
            continue
        whole = torch.arange(ranges[name].start, ranges[name].stop)
        while node is not None:
            found[name] = node.name
            if isinstance(_module(node, model), nn.BatchNorm2d):
                norms.setdefault(name, str(node.target))
            node = _only_reader(node, model, values, whole)  # noqa: PLW2901  it walks on
    return found, norms


def shortcuts(graph: fx.Graph, model: nn.Module) -> frozenset[str]:
    """Convolutions that project the shortcut of a residual block: what they read reaches the same
    addition by the other side too, through at least two layers that mix channels."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    found = set()
    for node in order:
        sides = channels.operands(node) if node.target in channels.ADDING_FUNCTIONS else []
        if len(sides) != 2 or not all(isinstance(side, fx.Node) and shape_of(side) for side in sides):
            continue
        for side, other in (sides, sides[::-1]):
            layer = _back(side, model)
            if not _mixes(layer, model) or not isinstance(_module(layer, model), nn.Conv2d):
                continue
            root = _back(layer.all_input_nodes[0], model)
            if _layers_between(root, other, layer, list(order)[order[root] : order[node]], model) >= 2:
                found.add(str(layer.target))
    return frozenset(found)


def _only_reader(
    node: fx.Node, model: nn.Module, values: Mapping[fx.Node, Value], whole: torch.Tensor
) -> fx.Node | None:
    """The one node that reads this one, if it holds the same filters' activation, pixel by pixel."""
    readers = [n for n in node.users if n in values or n.op == "output"]
    if len(readers) != 1 or readers[0] not in values:
        return None
    reader, value = readers[0], values[readers[0]]
    same = value.dim == 1 and shape_of(reader) == shape_of(node) and torch.equal(value.owner, whole)
    spreads = channels.is_pooling(reader, model) or isinstance(_module(reader, model), nn.Conv2d)
    return reader if same and not spreads else None


def _module(node: fx.Node, model: nn.Module) -> nn.Module | None:
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def _mixes(node: fx.Node, model: nn.Module) -> bool:
    """Is it a layer that mixes channels?"""
    module = _module(node, model)
    if isinstance(module, nn.Conv2d):
        return not channels.is_depthwise(module)
    return isinstance(module, nn.Linear)


def _back(node: fx.Node, model: nn.Module) -> fx.Node:
    """Up the stream to the next mixing layer, join of several tensors, or input."""
    while not _mixes(node, model) and len(sources := _tensors(node)) == 1:
        node = sources[0]
    return node


def _tensors(node: fx.Node) -> list[fx.Node]:
    return [source for source in node.all_input_nodes if shape_of(source) is not None]


def _layers_between(
    root: fx.Node, end: fx.Node, avoided: fx.Node, span: list[fx.Node], model: nn.Module
) -> int:
    """The most mixing layers on a way from `root` to `end` that avoids a node; -1 where there is none.
    `span` are the nodes from `root` to `end`, in the graph's order."""
    most = {root: 0}
    for node in span[1:]:
        before = [most[source] for source in node.all_input_nodes if source in most]
        if before and node is not avoided:
            most[node] = max(before) + _mixes(node, model)
    return most.get(end, -1)
