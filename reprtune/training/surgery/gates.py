"""What lies between a layer that mixes channels and a product that its channels scale, as in squeeze and
excitation: what makes a gate for one channel alone."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from torch import fx, nn

from reprtune.training.surgery import channels
from reprtune.training.surgery.channels import argument, shape_of


@dataclass(frozen=True)
class Gate:
    """`layer` mixes channels and is read by nothing but the product, channel by channel.

    Attributes:
        tensors: parameters and buffers whose dimension 0 is the gate's channels: of the layer, and of layers
            on the way that treat channels one by one.
    """

    layer: fx.Node
    tensors: tuple[str, ...]


def functional_readings(own: Mapping[fx.Node, str]) -> dict[fx.Node, str]:
    """Calls of F.conv2d (ungrouped) and F.linear with a weight of their own, and its name.

    Args:
        own: what `tracing.own_parameters` found.
    """
    found = {}
    for node, name in own.items():
        (call,) = node.users
        reads = call.target in channels.MIXING_FUNCTIONS and argument(call, 1, "weight") is node
        if reads and argument(call, 6, "groups", 1) == 1:
            found[call] = name
    return found


def gate(node: fx.Node, model: nn.Module, own: Mapping[fx.Node, str], unfit: Container[str]) -> Gate | None:
    """How the side `node` of a product is made; None where it is not made for the product alone.

    Args:
        own: parameters that one call of a function uses. unfit: modules whose parameters serve others too.
    """
    tensors: list[str] = []
    while (
        node.op.startswith("call")
        and len([user for user in node.users if user.target not in channels.READING_SHAPES]) == 1
    ):
        module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if module is not None and str(node.target) in unfit:
            return None
        if _is_layer(module):
            return Gate(node, (*_tensors(node, module), *tensors))
        if node.target in channels.MIXING_FUNCTIONS:
            names = [own[source] for source in node.all_input_nodes if source in own]
            return Gate(node, (*names, *tensors))
        if module is not None and channels.has_each_channel(module):
            tensors += _tensors(node, module)
        elif not _passes(node, module):
            return None
        node = node.all_input_nodes[0]
    return None


def _is_layer(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def _tensors(node: fx.Node, module: nn.Module | None) -> list[str]:
    assert module is not None
    named = (*module.named_parameters(), *module.named_buffers())
    return [f"{node.target}.{key}" for key, tensor in named if tensor.dim() > 0]


def _passes(node: fx.Node, module: nn.Module | None) -> bool:
    """Is each channel made of the same one of the one tensor that it reads?"""
    sources = [source for source in node.all_input_nodes if shape_of(source) is not None]
    if len(sources) != 1 or (before := shape_of(sources[0])) is None or (after := shape_of(node)) is None:
        return False
    if module is not None:
        return isinstance(module, (*channels.EACH_CHANNEL_MODULES, nn.PReLU))
    return channels.treats_each_channel(node, before, after)
