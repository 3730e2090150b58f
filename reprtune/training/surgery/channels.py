"""What operations do to the channels of a tensor, as seen in a graph of torch.fx.

An operation is known here when it treats channels one by one and gives 0 for a channel that is 0.
Everything else is unknown, and what is unknown is never assumed to be harmless.

Notations
    N, C, H, W  images, channels, height, width
    owner[i]    number of the filter that channel i belongs to, or -1
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

ZERO_KEEPING_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.Mish, nn.GELU,
    nn.Hardswish, nn.Tanh, nn.Softsign, nn.Identity, nn.Dropout, nn.Dropout2d,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
    nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d,
)  # fmt: skip
ZERO_KEEPING_FUNCTIONS = {
    F.relu, F.relu6, F.leaky_relu, F.elu, F.celu, F.selu, F.silu, F.mish, F.gelu, F.hardswish, F.dropout,
    F.dropout2d, F.softsign, F.tanh, F.interpolate, torch.relu, torch.tanh, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d,
    "relu", "tanh", "contiguous",
}  # fmt: skip
EACH_CHANNEL_MODULES = (
    *ZERO_KEEPING_MODULES, nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Softplus, nn.Hardtanh,
)  # fmt: skip
EACH_CHANNEL_FUNCTIONS = ZERO_KEEPING_FUNCTIONS | {
    F.sigmoid, F.hardsigmoid, F.logsigmoid, F.softplus, F.hardtanh, torch.sigmoid, torch.exp, "sigmoid", "exp",
}  # fmt: skip
POOLING_MODULES = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
POOLING_FUNCTIONS = {F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
RESHAPING_FUNCTIONS = {
    torch.flatten,
    torch.reshape,
    torch.unsqueeze,
    torch.squeeze,
    "flatten",
    "reshape",
    "view",
    "unsqueeze",
    "squeeze",
}
FLATTENING_FUNCTIONS = {torch.flatten, torch.reshape, "flatten", "reshape", "view"}
ADDING_FUNCTIONS = {operator.add, operator.iadd, operator.sub, torch.add, torch.sub, "add", "sub"}
MULTIPLYING_FUNCTIONS = {operator.mul, operator.imul, torch.mul, "mul"}
DIVIDING_FUNCTIONS = {operator.truediv, torch.div, "div"}
MIXING_FUNCTIONS = {F.conv2d, F.linear}  # torch.conv2d is the same function
REDUCING_FUNCTIONS = {torch.mean, torch.sum, torch.amax, "mean", "sum", "amax"}
READING_SHAPES = {"size", "dim", "numel", "stride", getattr}  # of those that make no tensor
CHANNELS_LAST = (0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph.

    Attributes:
        owner: (C,), who each channel belongs to.
        makers: the modules whose parameters must be 0 for absent channels, so that these are 0 here.
        dim: the dimension of the channels: 1, or 3 in a picture turned to N x H x W x C.
    """

    owner: Tensor
    makers: frozenset[str] = frozenset()
    dim: int = 1

    @property
    def is_owned(self) -> bool:
        return bool((self.owner >= 0).any())


def nobody(shape: torch.Size | None) -> Value:
    """A tensor none of whose channels belongs to a filter."""
    return Value(unowned(shape[1] if shape is not None and len(shape) > 1 else 0))


def unowned(n: int) -> Tensor:
    return torch.full((n,), -1)


def shape_of(node: fx.Node) -> torch.Size | None:
    """Shape of a node that is one tensor; None for everything else."""
    return getattr(node.meta.get("tensor_meta"), "shape", None)


def operands(node: fx.Node) -> list[Any]:
    """The two sides of a sum or product, written in any way."""
    named = [node.kwargs[key] for key in ("input", "other") if key in node.kwargs]
    return [*node.args, *named][:2]


def flattened(value: Value, before: torch.Size, after: torch.Size) -> Value | None:
    """N x C x H x W in rows of C H W numbers: each channel becomes H W features; None for other changes."""
    if value.dim != 1 or len(after) != 2 or after != (before[0], math.prod(before[1:])):
        return None
    return Value(value.owner.repeat_interleave(math.prod(before[2:])), value.makers)


def through_function(node: fx.Node, value: Value, before: torch.Size, after: torch.Size) -> Value | None:
    """The value after a function or method of one tensor; None where the operation is unknown."""
    if node.target in ("permute", torch.permute):
        return _permuted(node, value)
    if node.target in REDUCING_FUNCTIONS:
        return _reduced(node, value, len(before))
    if value.dim != 1:
        return None
    if node.target in FLATTENING_FUNCTIONS:
        return flattened(value, before, after)
    is_known = node.target in ZERO_KEEPING_FUNCTIONS or is_stochastic_depth(node)
    return value if is_known or _is_cut(node) or _is_padding(node) or _is_scaling(node) else None


def treats_each_channel(node: fx.Node, before: torch.Size, after: torch.Size) -> bool:
    """Is channel i of the result of this function or method made of channel i alone, dimension 1 in both? It need
    not be 0 where that is."""
    if node.target in RESHAPING_FUNCTIONS or _adds_dimensions(node):
        return before[:2] == after[:2] and math.prod(before) == math.prod(after)
    is_known = node.target in EACH_CHANNEL_FUNCTIONS or is_stochastic_depth(node)
    return is_known or _is_cut(node) or _is_padding(node) or _is_with_number(node)


def has_each_channel(module: nn.Module) -> bool:
    """Does it have parameters or statistics of its own for each channel, and mix nothing?"""
    if isinstance(module, nn.PReLU):
        return module.num_parameters > 1
    return isinstance(module, _BatchNorm) or (isinstance(module, nn.Conv2d) and is_depthwise(module))


def is_stochastic_depth(node: fx.Node) -> bool:
    """torchvision's function, which scales all channels of an image alike. Known by its name, so that
    networks without it need no torchvision."""
    names = (getattr(node.target, "__module__", ""), getattr(node.target, "__name__", ""))
    return names == ("torchvision.ops.stochastic_depth", "stochastic_depth")


def is_depthwise(module: nn.Conv2d) -> bool:
    """One kernel for each channel: nothing is mixed."""
    return 1 < module.groups == module.in_channels == module.out_channels


def is_pooling(node: fx.Node, model: nn.Module) -> bool:
    """Does it mix neighbouring pixels of a channel, even where it keeps the size?"""
    if node.op == "call_module":
        return isinstance(model.get_submodule(str(node.target)), POOLING_MODULES)
    return node.target in POOLING_FUNCTIONS


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """An argument given by position or by name."""
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[position] if len(node.args) > position else default


def _permuted(node: fx.Node, value: Value) -> Value | None:
    """Channels last, as a picture of four dimensions; no other order."""
    order: Any = node.args[1:] or (node.kwargs.get("dims"),)
    order = order[0] if isinstance(order[0], (tuple, list)) else order
    turned = value.dim == 1 and tuple(order) == CHANNELS_LAST
    return Value(value.owner, value.makers, dim=3) if turned else None


def _reduced(node: fx.Node, value: Value, n_dims: int) -> Value | None:
    """A mean, sum or maximum over height and width, both at once."""
    dims = argument(node, 1, "dim")
    if n_dims != 4 or not isinstance(dims, (tuple, list)):
        return None
    if {d % 4 for d in dims if isinstance(d, int)} != {1, 2, 3} - {value.dim}:
        return None
    keeps = bool(argument(node, 2, "keepdim", False))
    return None if keeps and value.dim != 1 else Value(value.owner, value.makers)


def _is_cut(node: fx.Node) -> bool:
    """Slices of height and width."""
    if node.target is not operator.getitem:
        return False
    index = node.args[1]
    whole = slice(None, None, None)
    return (
        isinstance(index, tuple)
        and index[:2] == (whole, whole)
        and all(isinstance(part, slice) for part in index)
    )


def _adds_dimensions(node: fx.Node) -> bool:
    """An index of None and whole slices."""
    if node.target is not operator.getitem or not isinstance(node.args[1], tuple):
        return False
    return all(part is None or part == slice(None, None, None) for part in node.args[1])


def _is_with_number(node: fx.Node) -> bool:
    """A sum, product or quotient of a tensor and a number."""
    known = ADDING_FUNCTIONS | MULTIPLYING_FUNCTIONS | DIVIDING_FUNCTIONS | {torch.rsub}
    return node.target in known and any(isinstance(side, (int, float)) for side in operands(node))


def _is_padding(node: fx.Node) -> bool:
    """Padding of height and width with zeros or with what is there."""
    if node.target is not F.pad:
        return False
    padding = argument(node, 1, "pad")
    return isinstance(padding, (tuple, list)) and len(padding) <= 4 and not argument(node, 3, "value")


def _is_scaling(node: fx.Node) -> bool:
    """A product with, or a quotient by, a number."""
    sides = operands(node)
    if node.target in DIVIDING_FUNCTIONS:
        return isinstance(sides[0], fx.Node) and isinstance(sides[1], (int, float))
    return node.target in MULTIPLYING_FUNCTIONS and any(isinstance(s, (int, float)) for s in sides)
