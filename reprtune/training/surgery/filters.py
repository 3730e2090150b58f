"""Find which filters of a network can be dropped, and which numbers belong to each of them.

Found from the network's own graph (torch.fx), with no code per network. Every channel of every value
has at most one owner, the filter that made it. Ownership passes through operations that treat
channels one by one (BatchNorm, activations, pooling, depthwise convolutions, concatenation, gates)
and ends where channels are mixed (convolution, linear layer) or values are added. A layer whose
channels reach anything else is kept out, with the reason.

A dropped filter contributes exactly 0 to everything that mixes or adds. For that it suffices that the
weight and bias of the last operation on the way whose output for a silent channel is not 0 (the
convolution itself, or the BatchNorm after it) are 0 for its channels: everything after it keeps 0 at 0.
A 0 in a parameter costs nothing, where a mask on activations would cost a pass.

What makes a gate for an owned channel, and does nothing else, belongs to that channel's owner too: it is held
and saved with it, but need not be 0, for it is multiplied by 0.

Notations
    F           number of droppable filters of the network
    owner[i]    filter (0..F-1) that channel i of a tensor's dimension belongs to, or -1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from reprtune.errors import ModelError
from reprtune.training.surgery import channels, gates, paths
from reprtune.training.surgery.channels import Value, argument, nobody, shape_of, unowned
from reprtune.training.surgery.filter_map import FilterMap, MixingCost, Use, slices
from reprtune.training.surgery.multiply_adds import macs
from reprtune.training.surgery.tracing import HOOKED, counted_norms, own_parameters, trace, unfit_modules

NOBODY = unowned(1)


@dataclass
class _Walk:
    """One pass over the graph with a fixed set of layers kept out.

    Attributes:
        unfit: module -> why its parameters cannot be given to filters.
        own_parameters: node that fetches a parameter for one call of a function alone -> its name.
        readings: call of F.conv2d or F.linear -> the name of its own weight.
        values: of every node that depends on the input; a tuple of tensors has no channels.
        raw: nodes that are the input, no channels mixed yet.
    """

    graph: fx.Graph
    model: nn.Module
    kept_out: dict[str, str]
    unfit: Mapping[str, str]
    own_parameters: Mapping[fx.Node, str]
    readings: Mapping[fx.Node, str]
    layers: dict[str, int] = field(default_factory=dict)
    first: set[str] = field(default_factory=set)
    masked: dict[str, Use] = field(default_factory=dict)
    owned: list[Use] = field(default_factory=list)
    mixing: dict[fx.Node, tuple[Tensor, Tensor]] = field(
        default_factory=dict
    )  # owners of what it makes, reads
    refused: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)  # maker -> owner of its output channels
    values: dict[fx.Node, Value] = field(default_factory=dict)
    raw: set[fx.Node] = field(default_factory=set)

    def run(self) -> _Walk:
        for node in self.graph.nodes:
            sources = [n for n in node.all_input_nodes if n in self.values]
            if node.op == "output":
                self.refuse(sources, "is the network's output")
            elif node.op == "placeholder":
                self.values[node] = nobody(shape_of(node))
                self.raw.add(node)
            elif sources and "tensor_meta" in node.meta:
                self.values[node] = self.visit(node, sources)
                if not self.mixes(node) and self.raw.intersection(sources):
                    self.raw.add(node)
            elif sources and node.target not in channels.READING_SHAPES:
                self.refuse(sources, f"passes through {self.title(node)}")
        return self

    def visit(self, node: fx.Node, sources: list[fx.Node]) -> Value:
        shape = shape_of(node)
        value = None
        if shape is not None and len(shape) in (2, 4):
            value = self.known(node, sources, shape)
        if value is None:
            self.refuse(sources, f"passes through {self.title(node)}")
        return value or nobody(shape)

    def known(self, node: fx.Node, sources: list[fx.Node], shape: torch.Size) -> Value | None:
        """The value of an operation that we can vouch for; None of any other."""
        if node.target is torch.cat:
            return self.concatenated(node, shape)
        if node.op != "call_module" and len(sides := channels.operands(node)) == 2:
            pair = [s for s in sides if isinstance(s, fx.Node) and s in self.values]
            if len(pair) == 2:
                return self.joined(node, pair, shape)
        if len(sources) > 1:
            return None
        value, before = self.values[sources[0]], shape_of(sources[0])
        if before is None:
            return None
        if node in self.readings:
            return self.functional(node, value, before, shape)
        if node.op != "call_module":
            return channels.through_function(node, value, before, shape)
        if value.dim != 1:
            return None
        return self.module(node, value, sources, before, shape)

    def concatenated(self, node: fx.Node, shape: torch.Size) -> Value | None:
        """Along the channels."""
        tensors, dim = argument(node, 0, "tensors"), argument(node, 1, "dim", 0)
        if not isinstance(tensors, (tuple, list)) or not isinstance(dim, int) or dim % len(shape) != 1:
            return None
        known = [self.values[t] for t in tensors if t in self.values and self.values[t].dim == 1]
        if len(known) < len(tensors):
            return None
        return Value(torch.cat([p.owner for p in known]), frozenset().union(*(p.makers for p in known)))

    def joined(self, node: fx.Node, sides: list[fx.Node], shape: torch.Size) -> Value | None:
        """Channel by channel: a sum has no owner, unless both sides have the same; a product is 0
        where either side is, so it belongs to the owner of that side."""
        pair = [self.values[side] for side in sides]
        for side, value in zip(sides, pair, strict=True):
            before = shape_of(side)
            aligned = before is not None and len(before) == len(shape) and before[1] == shape[1]
            if value.is_owned and (value.dim != 1 or not aligned):
                return None
        a, b = (v.owner if len(v.owner) == shape[1] else unowned(shape[1]) for v in pair)
        both = frozenset().union(*(v.makers for v in pair))
        if torch.equal(a, b):
            is_known = node.target in channels.ADDING_FUNCTIONS | channels.MULTIPLYING_FUNCTIONS
            return Value(a, both) if is_known else None
        if node.target in channels.ADDING_FUNCTIONS:
            for value in pair:
                self.require_zero(value)
            return nobody(shape)
        if node.target in channels.MULTIPLYING_FUNCTIONS and not ((a >= 0) & (b >= 0) & (a != b)).any():
            for side, mine, theirs in zip(sides, (a, b), (b, a), strict=True):
                self.scale(side, torch.where(mine < 0, theirs, NOBODY), shape)
            return Value(torch.maximum(a, b), both)
        return None

    def scale(self, side: fx.Node, owner: Tensor, shape: torch.Size) -> None:
        """One side of a product scales channels that the other side owns: what makes it for such a channel
        alone is its owner's."""
        before = shape_of(side)
        if before is None or len(before) != len(shape) or before[1] != shape[1] or not (owner >= 0).any():
            return
        gate = gates.gate(side, self.model, self.own_parameters, self.unfit)
        if gate is not None and gate.layer in self.mixing:
            self.owned += [Use(name, 0, owner) for name in gate.tensors]
            self.mixing[gate.layer] = (owner, self.mixing[gate.layer][1])

    def module(
        self, node: fx.Node, value: Value, sources: list[fx.Node], before: torch.Size, shape: torch.Size
    ) -> Value | None:
        name = str(node.target)
        module = self.model.get_submodule(name)
        if self.unfit.get(name) == HOOKED and not isinstance(module, (nn.Conv2d, nn.Linear)):
            return None
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            return self.convolution(node, module, value, sources)
        if isinstance(module, nn.Linear):
            return self.linear(node, module, value, sources, before)
        if isinstance(module, nn.Flatten):
            return channels.flattened(value, before, shape)
        if isinstance(module, nn.PReLU):
            return self.sloped(name, module, value)
        if isinstance(module, channels.ZERO_KEEPING_MODULES):
            return value
        if is_depthwise := isinstance(module, nn.Conv2d) and channels.is_depthwise(module):
            self.mixing[node] = (value.owner, NOBODY)
        if name in self.unfit or not (is_depthwise or (isinstance(module, nn.BatchNorm2d) and module.affine)):
            return None
        self.own(name, module, value.owner)
        return Value(value.owner, frozenset([name]))

    def sloped(self, name: str, module: nn.PReLU, value: Value) -> Value | None:
        """A slope shared by all channels belongs to nobody; of one per channel each filter has its own."""
        if module.num_parameters > 1:
            if name in self.unfit:
                return None
            self.own(name, module, value.owner)
        return value

    def convolution(self, node: fx.Node, module: nn.Conv2d, value: Value, sources: list[fx.Node]) -> Value:
        name = str(node.target)
        self.read(name, value, sources)
        if name in self.unfit:
            self.kept_out.setdefault(name, self.unfit[name])
        owner = unowned(module.out_channels)
        if name not in self.kept_out:
            start = sum(self.layers.values())
            self.layers[name] = module.out_channels
            owner = torch.arange(start, start + module.out_channels)
            if self.raw.intersection(sources):
                self.first.add(name)
        self.own(name, module, owner)
        self.mixing[node] = (owner, value.owner)
        return Value(owner, frozenset([name]))

    def linear(
        self, node: fx.Node, module: nn.Linear, value: Value, sources: list[fx.Node], before: torch.Size
    ) -> Value:
        name = str(node.target)
        if len(before) > 2:  # it mixes the last dimension, which is not the channels'
            self.refuse(sources, f"passes through {name}")
            return Value(unowned(before[1]))
        self.read(name, value, sources)
        out = unowned(module.out_features)
        self.mixing[node] = (out, value.owner)
        return Value(out)

    def functional(self, node: fx.Node, value: Value, before: torch.Size, shape: torch.Size) -> Value | None:
        """A call of F.conv2d or F.linear with a parameter that nothing else uses: it reads filters as a layer
        does, but its own output channels have no layer to belong to."""
        if value.dim != 1 or len(before) != (2 if node.target is F.linear else 4):
            return None
        self.consume(self.readings[node], value)
        self.mixing[node] = (unowned(shape[1]), value.owner)
        return nobody(shape)

    def title(self, node: fx.Node) -> str:
        """The operation, for people."""
        name = str(node.target)
        if node.op != "call_module":
            return name if isinstance(node.target, str) else getattr(node.target, "__name__", name)
        reason = f", which {self.unfit[name]}" if name in self.unfit else ""
        return f"{name} ({type(self.model.get_submodule(name)).__name__}){reason}"

    def mixes(self, node: fx.Node) -> bool:
        if node in self.readings:
            return True
        module = self.model.get_submodule(str(node.target)) if node.op == "call_module" else None
        return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)

    def costs(self) -> Iterator[MixingCost]:
        """The cost of every node that mixes channels: by the channels that it joins where these are known, else as one number."""
        for node in self.graph.nodes:
            if n := macs(node):
                out_owner, in_owner = self.mixing.get(node, (NOBODY, NOBODY))
                yield MixingCost(n / (len(out_owner) * len(in_owner)), out_owner, in_owner)

    def own(self, name: str, module: nn.Module, owner: Tensor) -> None:
        """Dimension 0 of every vector, and of the weight, of a module that works channel by channel."""
        self.outputs[name] = owner
        if (owner >= 0).any():
            for key, tensor in (*module.named_parameters(), *module.named_buffers()):
                if tensor.dim() > 0:
                    self.owned.append(Use(f"{name}.{key}", 0, owner))

    def read(self, name: str, value: Value, sources: list[fx.Node]) -> None:
        """A mixing layer reads the value."""
        if name in self.unfit:
            self.refuse(sources, f"is read by {name}, which {self.unfit[name]}")
        else:
            self.consume(f"{name}.weight", value)

    def consume(self, weight: str, value: Value) -> None:
        """A value that is mixed must be 0 where absent, and the kernels that read an absent channel are absent
        too."""
        if value.is_owned:
            self.require_zero(value)
            self.owned.append(Use(weight, 1, value.owner))

    def require_zero(self, value: Value) -> None:
        for maker in value.makers:
            owner = self.outputs[maker]
            if (owner >= 0).any():
                for key, _ in self.model.get_submodule(maker).named_parameters():
                    self.masked[f"{maker}.{key}"] = Use(f"{maker}.{key}", 0, owner)

    def refuse(self, sources: Iterable[fx.Node], what: str) -> None:
        """Layers whose channels reach an operation we cannot vouch for are kept out."""
        for source in sources:
            owner = self.values[source].owner
            for name, numbers in slices(self.layers).items():
                if ((owner >= numbers.start) & (owner < numbers.stop)).any():
                    self.refused.setdefault(name, f"its output {what}")


def find_filters(model: nn.Module, example: Tensor) -> FilterMap:
    """Find the droppable filters of `model`.

    Args:
        model: any module that torch.fx can trace; its mode and weights are left as they are.
        example: one input, (1, C, H, W).

    Raises:
        ModelError: the network cannot be traced, is another one in training, or has no droppable filter.
    """
    graph, reads_counts = trace(model, example)
    unfit = unfit_modules(graph, model)
    own = own_parameters(graph, model)
    readings = gates.functional_readings(own)
    walk = _Walk(graph, model, {}, unfit, own, readings).run()
    while walk.refused:
        walk = _Walk(graph, model, {**walk.kept_out, **walk.refused}, unfit, own, readings).run()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            walk.kept_out[name] = "is a grouped convolution"
        elif isinstance(module, nn.Conv2d) and name not in walk.layers:
            walk.kept_out.setdefault(name, unfit.get(name, "is not used"))
    if not walk.layers:
        reasons = "; ".join(f"{n}: {r}" for n, r in walk.kept_out.items()) or "it has no convolution"
        raise ModelError(f"{type(model).__name__} has no filter that can be dropped ({reasons}).")
    taps, norms = paths.taps(graph, model, walk.values, walk.layers)
    return FilterMap(
        walk.layers, frozenset(walk.first), walk.kept_out,
        tuple(walk.masked.values()), tuple(walk.owned), tuple(walk.costs()),
        graph, taps, norms, paths.shortcuts(graph, model) & walk.layers.keys(),
        frozenset() if reads_counts else counted_norms(graph, model, unfit),
    )  # fmt: skip
