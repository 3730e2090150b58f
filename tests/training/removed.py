"""A network with filters physically absent, run operation by operation from its graph.

Nothing here knows of masks, owners or `FilterMap`: a value is a tensor of the present channels only, with
the numbers that these have in the whole network. Layers are cut to what is there. An operation not listed
here is an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

EACH_CHANNEL = (
    nn.ReLU, nn.ReLU6, nn.SiLU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Identity, nn.Dropout, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)  # fmt: skip
EACH_CHANNEL_FUNCTIONS = {
    "relu", "silu", "sigmoid", "dropout", "max_pool2d", "boolean_dispatch", "avg_pool2d",
    "adaptive_avg_pool2d", "stochastic_depth", "mean", "permute", "contiguous", "getitem", "hardsigmoid",
    "unsqueeze", "gelu", "leaky_relu",
}  # fmt: skip
GATES = {"fc2": "fc1", "excite": "squeeze"}  # layer that makes a gate -> layer that reads what it scales


@dataclass
class Part:
    """`tensor` has the channels `numbers` of the `width` that the whole network's has."""

    tensor: Tensor
    numbers: Tensor
    width: int

    @property
    def is_whole(self) -> bool:
        return len(self.numbers) == self.width

    def spread(self) -> Tensor:
        """All channels, absent ones 0."""
        shape = (self.tensor.shape[0], self.width, *self.tensor.shape[2:])
        return self.tensor.new_zeros(shape).index_copy(1, self.numbers, self.tensor)

    def only(self, numbers: Tensor) -> Tensor:
        """Some of the present channels."""
        return self.tensor[:, [self.numbers.tolist().index(i) for i in numbers.tolist()]]


def whole(tensor: Tensor) -> Part:
    return Part(tensor, torch.arange(tensor.shape[1]), tensor.shape[1])


class Removed(fx.Interpreter):
    """Runs `model` in its mode without the filters in `dropped`: layer -> their numbers. Gradients and
    running statistics arrive in the model's own tensors."""

    def __init__(self, model: nn.Module, dropped: Mapping[str, Tensor]) -> None:
        super().__init__(fx.symbolic_trace(model))
        self.dropped = dropped
        self.read: dict[str, Tensor] = {}  # layer -> channels that it has read

    def logits(self, x: Tensor) -> Tensor:
        out = self.run(whole(x))
        assert out.is_whole
        return out.tensor

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part:
        module, (part,) = self.fetch_attr(target), args
        assert not kwargs
        if isinstance(module, nn.Conv2d):
            return self.convolution(target, module, part)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            return Part(normalised(module, part), part.numbers, part.width)
        if isinstance(module, nn.Linear):
            assert module.in_features == part.width
            self.read[target] = part.numbers
            present = self.gated(target, torch.arange(module.out_features))
            out = F.linear(part.tensor, module.weight[present][:, part.numbers], module.bias[present])
            return Part(out, present, module.out_features)
        if isinstance(module, nn.PReLU):
            return Part(F.prelu(part.tensor, module.weight[part.numbers]), part.numbers, part.width)
        if isinstance(module, nn.Flatten):
            return flat(part)
        assert isinstance(module, EACH_CHANNEL), module
        return Part(module(part.tensor), part.numbers, part.width)

    def convolution(self, name: str, module: nn.Conv2d, part: Part) -> Part:
        assert module.in_channels == part.width
        width = module.out_channels
        present = torch.tensor([i for i in range(width) if i not in self.dropped.get(name, torch.tensor([]))])
        self.read[name] = part.numbers
        present = self.gated(name, present)
        weight, groups = module.weight, 1
        if module.groups == 1:
            weight = weight[present][:, part.numbers]
        elif module.groups == module.in_channels == width:
            present, groups = part.numbers, len(part.numbers)
            weight = weight[present]
        else:
            assert part.is_whole and len(present) == width
            groups = module.groups
        bias = None if module.bias is None else module.bias[present]
        out = F.conv2d(part.tensor, weight, bias, module.stride, module.padding, module.dilation, groups)
        return Part(out, present, width)

    def gated(self, name: str, present: Tensor) -> Tensor:
        """What a layer makes where it is that of a gate: as many channels as are there to be scaled."""
        block, _, last = name.rpartition(".")
        reader = f"{block}.{GATES[last]}".lstrip(".") if last in GATES else ""
        return self.read.get(reader, present)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if target.__name__ in ("conv2d", "linear"):
            part, weight, *more = args
            assert part.width == weight.shape[1]
            assert target.__name__ == "conv2d" or part.tensor.dim() == 2
            return whole(target(part.tensor, weight[:, part.numbers], *more, **kwargs))
        return self.operation(target, target.__name__, args, kwargs)

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return self.operation(lambda x, *a, **k: getattr(x, target)(*a, **k), target, args, kwargs)

    def operation(
        self, call: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        first, *rest = args
        if name == "cat":
            return joined(first, *rest, **kwargs)
        if not isinstance(first, Part):  # arithmetic of sizes
            assert not any(isinstance(a, Part) for a in rest)
            return call(*args, **kwargs)
        if name in ("size", "getattr"):
            shape = (first.tensor.shape[0], first.width, *first.tensor.shape[2:])
            assert name == "size" or rest == ["shape"]
            return shape[rest[0]] if name == "size" else shape
        if name in ("add", "iadd"):
            return whole(first.spread() + rest[0].spread())
        if name in ("mul", "imul"):
            return scaled(first, rest[0])
        if name in ("flatten", "view", "reshape"):
            return flat(first)
        if name == "pad" and len(rest[0]) == 6:
            assert first.is_whole
            return whole(call(first.tensor, *rest, **kwargs))
        assert name in EACH_CHANNEL_FUNCTIONS, name
        return Part(call(first.tensor, *rest, **kwargs), first.numbers, first.width)


def normalised(module: nn.BatchNorm1d | nn.BatchNorm2d, part: Part) -> Tensor:
    """BatchNorm of the present channels; the others' running statistics stay."""
    assert module.running_mean is not None and module.running_var is not None
    assert module.num_features == part.width
    mean, var = module.running_mean[part.numbers], module.running_var[part.numbers]
    out = F.batch_norm(
        part.tensor, mean, var, module.weight[part.numbers], module.bias[part.numbers], module.training,
        module.momentum or 0.0, module.eps,
    )  # fmt: skip
    module.running_mean[part.numbers], module.running_var[part.numbers] = mean, var
    return out


def flat(part: Part) -> Part:
    """Each channel becomes as many features as it has pixels."""
    pixels = part.tensor[0, 0].numel()
    numbers = (part.numbers[:, None] * pixels + torch.arange(pixels)).flatten()
    return Part(part.tensor.flatten(1), numbers, part.width * pixels)


def joined(parts: list[Part], dim: int = 0) -> Part:
    assert dim == 1
    starts = [sum(p.width for p in parts[:i]) for i in range(len(parts))]
    numbers = torch.cat([p.numbers + start for p, start in zip(parts, starts, strict=True)])
    return Part(torch.cat([p.tensor for p in parts], 1), numbers, sum(p.width for p in parts))


def scaled(a: Part | float, b: Part | float) -> Part:
    """A product: a channel is there where both have it."""
    if not (isinstance(a, Part) and isinstance(b, Part)):
        part, number = (a, b) if isinstance(a, Part) else (b, a)
        assert isinstance(part, Part)
        return Part(operator.mul(part.tensor, number), part.numbers, part.width)
    assert a.width == b.width
    both = torch.tensor([i for i in a.numbers.tolist() if i in b.numbers])
    return Part(a.only(both) * b.only(both), both, a.width)
