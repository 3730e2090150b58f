"""Which channels of a network go together: a channel can be cut out of one layer only with its group.

Where outputs are added or multiplied, channel i of both sides is one channel; so are all that meet in one
BatchNorm or depthwise convolution. Concatenation keeps channels apart, at an offset. Channels that reach the
network's output, or an operation that is not known to treat channels one by one, cannot be cut.

Every channel of every value has a label, and labels that go together are joined. A label is a place: (kind,
layer, index), of a layer that makes the channel, one that reads it, one on the way that has something of its own
for it, or padding that fills it with zeros.

Notations
    FIXED       label of a channel that cannot be cut
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from reprtune.training.surgery import channels
from reprtune.training.surgery.channels import Value, argument, shape_of
from reprtune.training.surgery.tracing import HOOKED, trace, unfit_modules

FIXED = -1
MAKES, READS, HAS, FILLS = range(4)


@dataclass(frozen=True)
class Slot:
    """Channel i of a group is at offset + i * size ... offset + (i + 1) * size - 1 of a layer's channels."""

    layer: str
    offset: int
    size: int = 1


@dataclass(frozen=True)
class Group:
    """Channels of which each goes as a whole or not at all.

    Attributes:
        n_channels: how many.
        members: layers that make them: dimension 0 of weight and bias.
        readers: layers that mix them: dimension 1 of the weight.
        passes: BatchNorm, depthwise convolutions and slopes that have something of their own for each.
        pads: calls of F.pad, by their node's name in `FilterMap.graph`, that fill these channels of their result with zeros: as many
            fewer of them where channels are cut.
        reason: why none can be cut; None where each can.
    """

    n_channels: int
    members: tuple[Slot, ...]
    readers: tuple[Slot, ...]
    passes: tuple[Slot, ...]
    pads: tuple[Slot, ...]
    reason: str | None


def coupled_groups(model: nn.Module, example: Tensor) -> tuple[Group, ...]:
    """The groups of all channels that convolutions make, in the network's order.

    Args:
        model: any module that torch.fx can trace. example: one input, (1, C, H, W).

    Raises:
        ModelError: the network cannot be traced.
    """
    graph, _ = trace(model, example)
    return groups_in(graph, model)


def groups_in(graph: fx.Graph, model: nn.Module) -> tuple[Group, ...]:
    """The same, of a network that was traced before: `FilterMap.graph`."""
    walk = _Walk(graph, model, unfit_modules(graph, model))
    walk.run()
    return _groups(walk)


@dataclass
class _Walk:
    """One pass over the graph; `parent` is a forest of labels, `reasons` are of labels that cannot be cut."""

    graph: fx.Graph
    model: nn.Module
    unfit: Mapping[str, str]
    places: list[tuple[int, str, int]] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    starts: dict[tuple[int, str], int] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    values: dict[fx.Node, Value] = field(default_factory=dict)

    def run(self) -> None:
        for node in self.graph.nodes:
            sources = [source for source in node.all_input_nodes if source in self.values]
            if node.op == "placeholder":
                self.values[node] = _fixed(shape_of(node))
            elif node.op == "output":
                self.fix(sources, "is the network's output")
            elif sources and node.target not in channels.READING_SHAPES:
                value = self.known(node, sources)
                if value is None:
                    self.fix(sources, f"passes through {_title(node)}")
                self.values[node] = value or _fixed(shape_of(node))

    def known(self, node: fx.Node, sources: list[fx.Node]) -> Value | None:
        """None where the operation may do anything."""
        shape = shape_of(node)
        if shape is None or len(shape) < 2:
            return None
        if node.target is torch.cat:
            return self.concatenated(node, shape)
        if len(sources) == 2 and node.target in channels.ADDING_FUNCTIONS | channels.MULTIPLYING_FUNCTIONS:
            return self.joined(node, sources, shape)
        before, value = shape_of(sources[0]), self.values[sources[0]]
        others = [s for s in node.all_input_nodes if shape_of(s) is not None]
        if len(sources) > 1 or len(others) > 1 or before is None:
            return None
        if node.op == "call_module":
            return self.module(str(node.target), value, before, shape) if value.dim == 1 else None
        if _has_fixed_size(node):
            return None
        if value.dim == 1 and channels.treats_each_channel(node, before, shape):
            return value
        return self.padded(node, value) or channels.through_function(node, value, before, shape)

    def concatenated(self, node: fx.Node, shape: torch.Size) -> Value | None:
        tensors, dim = argument(node, 0, "tensors"), argument(node, 1, "dim", 0)
        if not isinstance(tensors, (tuple, list)) or not isinstance(dim, int) or dim % len(shape) != 1:
            return None
        if any(t not in self.values or self.values[t].dim != 1 for t in tensors):
            return None
        return Value(torch.cat([self.values[t].owner for t in tensors]))

    def joined(self, node: fx.Node, sides: list[fx.Node], shape: torch.Size) -> Value | None:
        """Channel by channel; a side of one channel that is spread over all the others' goes with none."""
        pair = [self.values[side] for side in sides]
        if any(v.dim != 1 or len(shape_of(s) or ()) != len(shape) for s, v in zip(sides, pair, strict=True)):
            return None
        (a, b), n = (value.owner for value in pair), shape[1]
        for side, mine, theirs in ((sides[0], a, b), (sides[1], b, a)):
            if len(mine) < n:
                self.fix([side], f"is spread over channels in {node.name}")
                return Value(theirs)
        return Value(torch.tensor([self.join(i, j) for i, j in zip(a.tolist(), b.tolist(), strict=True)]))

    def join(self, i: int, j: int) -> int:
        """The label of both as one channel."""
        if FIXED in (i, j):
            if max(i, j) >= 0:
                self.reasons.setdefault(max(i, j), "its output is joined with channels that cannot be cut")
            return FIXED
        a, b = sorted((self.root(i), self.root(j)))
        self.parent[b] = a
        return a

    def module(self, name: str, value: Value, before: torch.Size, shape: torch.Size) -> Value | None:
        module = self.model.get_submodule(name)
        if isinstance(module, nn.Linear):
            return self.layer(name, module.out_features, value) if len(before) == 2 else None
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            return self.layer(name, module.out_channels, value)
        if channels.has_each_channel(module):
            own = self.labels(HAS, name, len(value.owner)).tolist()
            return Value(
                torch.tensor([self.join(i, j) for i, j in zip(value.owner.tolist(), own, strict=True)])
            )
        if self.unfit.get(name) == HOOKED:
            return None
        if isinstance(module, nn.Flatten):
            return channels.flattened(value, before, shape)
        return value if isinstance(module, (*channels.EACH_CHANNEL_MODULES, nn.PReLU)) else None

    def layer(self, name: str, n_out: int, value: Value) -> Value:
        """A layer that mixes what it reads."""
        read = self.labels(READS, name, len(value.owner)).tolist()
        for i, j in zip(value.owner.tolist(), read, strict=True):
            self.join(i, j)
        return Value(self.labels(MAKES, name, n_out))

    def padded(self, node: fx.Node, value: Value) -> Value | None:
        """Channels of zeros before and after; None for any other operation."""
        if node.target is not F.pad or value.dim != 1 or argument(node, 2, "mode", "constant") != "constant":
            return None
        padding = argument(node, 1, "pad")
        if not isinstance(padding, (tuple, list)) or len(padding) != 6 or argument(node, 3, "value"):
            return None
        if not all(isinstance(n, int) and n >= 0 for n in padding):
            return None
        n = padding[4] + len(value.owner)
        labels = self.labels(FILLS, node.name, n + padding[5])
        return Value(torch.cat([labels[: padding[4]], value.owner, labels[n:]]))

    def labels(self, kind: int, name: str, n: int) -> Tensor:
        """Of the places of a layer, the same whenever it is called; none can be cut where its parameters serve
        others too."""
        if (kind, name) not in self.starts:
            start = self.starts[kind, name] = len(self.places)
            self.places += [(kind, name, i) for i in range(n)]
            self.parent += range(start, start + n)
            if name in self.unfit:
                self.reasons |= {start + i: f"{name} {self.unfit[name]}" for i in range(n)}
        start = self.starts[kind, name]
        return torch.arange(start, start + n)

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = i = self.parent[self.parent[i]]
        return i

    def fix(self, sources: Iterable[fx.Node], what: str) -> None:
        for source in sources:
            for label in self.values[source].owner.tolist():
                if label >= 0:
                    self.reasons.setdefault(label, f"its output {what}")


def _fixed(shape: torch.Size | None) -> Value:
    return Value(torch.full((shape[1] if shape is not None and len(shape) > 1 else 0,), FIXED))


def _title(node: fx.Node) -> str:
    return node.name if node.op == "call_function" else str(node.target)


def _has_fixed_size(node: fx.Node) -> bool:
    """Does it write down how many channels there are?"""
    if node.target not in ("view", "reshape", torch.reshape):
        return False
    sizes = node.args[1:] or tuple(node.kwargs.values())
    if isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return len(sizes) > 1 and isinstance(sizes[1], int) and sizes[1] != -1


def _groups(walk: _Walk) -> tuple[Group, ...]:
    """Channels of which each is in the same layers as the one before it, and next to it, are one group."""
    classes: dict[int, list[int]] = {}
    for label in range(len(walk.places)):
        classes.setdefault(walk.root(label), []).append(label)
    found: list[tuple[list[tuple[int, Slot]], int, str | None]] = []
    for labels in sorted(classes.values(), key=lambda labels: _first(walk, labels)):
        if not any(_is_made_by_convolution(walk, label) for label in labels):
            continue
        slots = _slots([walk.places[label] for label in labels])
        reason = next((walk.reasons[label] for label in labels if label in walk.reasons), None)
        if found and found[-1][2] == reason and slots == _next(found[-1][0], found[-1][1]):
            found[-1] = (found[-1][0], found[-1][1] + 1, reason)
        else:
            found.append((slots, 1, reason))
    return tuple(_group(slots, n, reason) for slots, n, reason in found)


def _group(slots: list[tuple[int, Slot]], n: int, reason: str | None) -> Group:
    makes, reads, has, fills = (
        tuple(slot for kind, slot in slots if kind == k) for k in (MAKES, READS, HAS, FILLS)
    )
    return Group(n, makes, reads, has, fills, reason)


def _first(walk: _Walk, labels: list[int]) -> int:
    """Where a layer makes the channel first."""
    return next((label for label in labels if walk.places[label][0] == MAKES), len(walk.places))


def _is_made_by_convolution(walk: _Walk, label: int) -> bool:
    kind, name, _ = walk.places[label]
    return kind == MAKES and isinstance(walk.model.get_submodule(name), nn.Conv2d)


def _slots(places: list[tuple[int, str, int]]) -> list[tuple[int, Slot]]:
    """Places of one channel; neighbours in a layer are one slot."""
    slots: list[tuple[int, Slot]] = []
    for kind, name, index in places:
        last = slots[-1] if slots else (-1, Slot("", 0))
        if last[0] == kind and last[1].layer == name and last[1].offset + last[1].size == index:
            slots[-1] = (kind, Slot(name, last[1].offset, last[1].size + 1))
        else:
            slots.append((kind, Slot(name, index)))
    return slots


def _next(slots: list[tuple[int, Slot]], n: int) -> list[tuple[int, Slot]]:
    """Those of the channel after the first n."""
    return [(kind, Slot(s.layer, s.offset + n * s.size, s.size)) for kind, s in slots]
