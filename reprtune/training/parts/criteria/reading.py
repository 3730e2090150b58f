"""What criteria that look at data share: how they see the network and its images.

The network is in evaluation mode, in float32, and the images are those of the score part, unaugmented and
in their order. They come in chunks whose size depends on the network alone, so that memory is bounded and
scores do not depend on how the images were batched.

An activation is read at the layer's tap (`FilterMap.taps`): after the layer's own BatchNorm and activation
function, before pooling, and before the way divides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument, Target

from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.surgery.channels import shape_of
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.subnetwork import SubNetwork

MAX_IMAGES = 256
MAX_NUMBERS = 2**27  # of all tensors between the operations of a chunk: 512 MiB


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and float32; afterwards every module has its own mode again."""
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device.type
    model.eval()
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def chunk_size(filters: FilterMap) -> int:
    """How many images at a time: at most 256, and no more than `MAX_NUMBERS` numbers between operations."""
    shapes = [shape_of(node) for node in filters.graph.nodes]
    per_image = sum(shape[1:].numel() for shape in shapes if shape is not None and len(shape) > 1)
    return max(1, min(MAX_IMAGES, MAX_NUMBERS // max(per_image, 1)))


def chunks(context: ScoreContext, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """The score part in its order, `size` images at a time (by default `chunk_size`), the last time fewer."""
    size = size or chunk_size(context.network.filters)
    waiting: list[tuple[Tensor, Tensor]] = []
    for x, y in context.batches():
        start = 0
        while start < len(y):
            stop = start + size - sum(len(labels) for _, labels in waiting)
            waiting.append((x[start:stop], y[start:stop]))
            start = stop
            if sum(len(labels) for _, labels in waiting) == size:
                yield _joined(waiting)
                waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if len(parts) == 1:
        return parts[0]
    images, labels = zip(*parts, strict=True)
    return torch.cat(images), torch.cat(labels)


class Reader(fx.Interpreter):
    """Runs the network and shows the activation of every layer, (B, J, H, W), as soon as it is made.

    Args:
        network: its graph is run, with the modules, parameters and buffers that it has now. layers: what is shown.
        see: called with a layer and its activation; what it returns takes the activation's place.
    """

    def __init__(
        self, network: SubNetwork, layers: Iterable[str], see: Callable[[str, Tensor], Tensor]
    ) -> None:
        super().__init__(network.model, graph=network.filters.graph)
        self.device = next(network.model.parameters()).device
        self.layers = {network.filters.taps[name]: name for name in layers}
        self.see = see

    def get_attr(self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any]) -> object:
        value = super().get_attr(target, args, kwargs)
        # A constant that forward() makes is where it was made when the network was traced, on the CPU.
        return value.to(self.device) if isinstance(value, Tensor) else value

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        return self.see(self.layers[n.name], value) if n.name in self.layers else value
