"""How many multiply-adds each operation of a network's graph takes, wherever they are called.

The graph is run once, and what torch is asked to compute is seen below all modules and functions: matrix
products, convolutions of all kinds, attention. Everything else (activations, BatchNorm, pooling, sums) counts
as nothing, as is usual.

Notations
    N, L, S     images, queries, keys of attention
    E, H        numbers of an embedding, heads
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, fx
from torch.fx.passes.shape_prop import ShapeProp
from torch.utils._python_dispatch import TorchDispatchMode

Arguments = tuple[Any, ...]


def _product(first: int) -> Callable[[Arguments, Any], int]:
    """Multiply-adds of the matrices (..., m, k) and (..., k, n) or (..., k) at `first` and after it."""

    def count(args: Arguments, _: Any) -> int:
        a, b = args[first].shape, args[first + 1].shape
        return math.prod(a) * (b[-1] if len(b) > 1 else 1)

    return count


def _convolution(args: Arguments, out: Tensor) -> int:
    """Each number of the output, of a transposed one each of the input, meets one kernel of `weight`."""
    x, weight, transposed = args[0], args[1], args[6]
    return (x if transposed else out).numel() * math.prod(weight.shape[1:])


def _deformed_convolution(args: Arguments, out: Tensor) -> int:
    return out.numel() * math.prod(args[1].shape[1:])


def _attention(args: Arguments, _: Any) -> int:
    """Queries with keys, and the weights with the values: (..., L, E), (..., S, E), (..., S, Ev)."""
    query, key, value = (x.shape for x in args[:3])
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _whole_attention(args: Arguments, _: Any) -> int:
    """Four projections of E numbers to E, and the two products, in one operation: N x L x E, N x S x E."""
    (n, length, size), (_, n_keys, _) = args[0].shape, args[1].shape
    return n * size * (2 * length * size + 2 * n_keys * size + 2 * length * n_keys)


def _encoder_layer(args: Arguments, _: Any) -> int:
    """nn.TransformerEncoderLayer in one operation: attention to itself and two linear layers."""
    x, inner, outer = args[0], args[14], args[16]
    return _whole_attention((x, x), None) + math.prod(x.shape[:-1]) * (inner.numel() + outer.numel())


def _recurrent_layer(args: Arguments, _: Any) -> int:
    """One direction of an nn.LSTM on the CPU: at every place the weights of the input and of the state."""
    x, of_input, of_state = args[:3]
    return math.prod(x.shape[:-1]) * (of_input.numel() + of_state.numel())


def _bilinear(args: Arguments, _: Any) -> int:
    """A sum over products of three tensors, of which each may lack dimensions."""
    shapes = []
    for tensor, lacking in zip(args[:3], args[3:6], strict=True):
        shape = list(tensor.shape)
        for dim in sorted(lacking):
            shape.insert(dim, 1)
        shapes.append(shape)
    return math.prod(map(max, zip(*shapes, strict=True)))


FORMULAS: Mapping[str, Callable[[Arguments, Any], int]] = {
    "aten.mm": _product(0),
    "aten.bmm": _product(0),
    "aten.mv": _product(0),
    "aten.dot": _product(0),
    "aten.vdot": _product(0),
    "aten.addmm": _product(1),
    "aten._addmm_activation": _product(1),
    "aten.baddbmm": _product(1),
    "aten.addbmm": _product(1),
    "aten.addmv": _product(1),
    "aten._trilinear": _bilinear,
    "aten.convolution": _convolution,
    "torchvision.deform_conv2d": _deformed_convolution,
    "aten._scaled_dot_product_flash_attention": _attention,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_efficient_attention": _attention,
    "aten._scaled_dot_product_cudnn_attention": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable": _attention,
    "aten._native_multi_head_attention": _whole_attention,
    "aten._transformer_encoder_layer_fwd": _encoder_layer,
    "aten.mkldnn_rnn_layer": _recurrent_layer,
}


class MultiplyAdds(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, `total` grows by what is computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and to skip it torch would import it, for a second

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if (formula := FORMULAS.get(str(func.overloadpacket))) is not None:
            self.total += formula(args, out)
        return out


class Measured(ShapeProp):
    """Runs a graph, and notes in each node's `meta` the shape of its tensor, and as "macs" its multiply-adds."""

    def run_node(self, n: fx.Node) -> Any:
        with MultiplyAdds() as counter:
            result = super().run_node(n)
        n.meta["macs"] = counter.total
        return result


def macs(node: fx.Node) -> int:
    """Multiply-adds of a node of a traced graph, for its example."""
    found: int = node.meta.get("macs", 0)
    return found
