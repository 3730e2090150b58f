"""Which convolution comes before each entry of a network's state, found from its graph.

An entry belongs to what computes with it. Up the stream of that, the convolution that was called last is the one
before it; where the stream divides, of both sides. So a BatchNorm follows the convolution that it reads, whichever
was written down first, and the classifier follows the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn

NOTHING = ""  # before it there is no convolution


@dataclass(frozen=True)
class Order:
    """Of a network.

    Attributes:
        convolutions: those with a weight of their own, as they are called.
        follows: entry of the state -> the convolution before it, of a convolution's own that one itself. What no
            convolution comes before has the first; what the graph does not show, that of the entry before it.
        norms: convolution -> the BatchNorm with a scale that reads what it makes, where there is one.
    """

    convolutions: tuple[str, ...]
    follows: Mapping[str, str]
    norms: Mapping[str, str]


def entries(model: nn.Module) -> dict[str, Tensor]:
    """Name -> parameter or buffer, the tensors themselves, as the state has them; what has several names, once."""
    once = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    return {name: tensor for name, tensor in model.state_dict().items() if name in once}


def order(graph: fx.Graph, model: nn.Module) -> Order:
    """Of a network and its graph in evaluation mode, `FilterMap.graph`."""
    names = entries(model)
    made: dict[fx.Node, str] = {}  # the last convolution up the stream
    before: dict[str, str] = {}  # module, or parameter that a function is given -> the convolution before it
    places: dict[str, int] = {}
    norms: dict[str, str] = {}
    for node in graph.nodes:
        sources = [made[n] for n in node.all_input_nodes if made.get(n)]
        last = max(sources, key=places.__getitem__, default=NOTHING)
        if node.op == "call_module":
            name = str(node.target)
            module = model.get_submodule(name)
            if isinstance(module, nn.Conv2d) and f"{name}.weight" in names:
                places.setdefault(name, len(places))
                last = name
            elif isinstance(module, nn.BatchNorm2d) and module.affine and _reads(node, last):
                norms.setdefault(last, name)
            before.setdefault(name, last)
        elif last:
            given = [str(n.target) for n in node.all_input_nodes if n.op == "get_attr"]
            before = dict.fromkeys(given, last) | before
        made[node] = last
    return Order(tuple(places), _followed(names, before, next(iter(places), NOTHING)), norms)


def _reads(node: fx.Node, convolution: str) -> bool:
    """Is what it reads made by that convolution, with nothing between them?"""
    source = node.all_input_nodes[0]
    return source.op == "call_module" and str(source.target) == convolution


def _followed(names: Mapping[str, Tensor], before: Mapping[str, str], first: str) -> dict[str, str]:
    found, at = {}, first
    for name in names:
        shown = next((above for above in _above(name) if above in before), None)
        at = at if shown is None else before[shown] or first
        found[name] = at
    return found


def _above(name: str) -> list[str]:
    """The entry, its module, and those that hold it, from the inside out."""
    words = name.split(".")
    return [".".join(words[:n]) for n in range(len(words), 0, -1)]
