"""How many kernels a training step starts on a GPU, as far as a CPU can count them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.descent import cuda_graph
from tests.training.tiny import spec, trial_networks

RESERVES = ("aten::empty", "aten::new_empty")  # memory, and writes nothing
# Trial -> the most operations of a step. Convolution, BatchNorm and ReLU are two each, forward and backward.
MOST: dict[str, tuple[dict[str, Any], int]] = {
    "convnet-3": ({}, 33),  # 18 of the layers
    "convnet-3, bias": ({"model.batch_norm": False}, 27),
    "convnet-3, weights only": ({"method.drop": "weights-only"}, 33),
    "resnet-20": ({"model.name": "resnet-20"}, 155),  # 114 of the layers, 17 of the shortcuts
    "resnet-20, bf16": ({"model.name": "resnet-20", "training.precision": "bf16"}, 200),  # 45 casts
}


class Kernels(TorchDispatchMode):
    """Counts the operations that start a kernel; a fused one, or one over a list of tensors, counts once.
    Others make a view of their argument, only reserve memory, or are the profiler's."""

    def __init__(self) -> None:
        super().__init__()
        self.n_kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, returns = func._schema.name, func._schema.returns
        makes_view = any(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        self.n_kernels += name.startswith("aten::") and not makes_view and not name.startswith(RESERVES)
        return func(*args, **(kwargs or {}))


def kernels(one: TrialNetworks) -> int:
    """Of a step on four images, after one before it."""
    x, y = torch.randn(4, *one.task.input_shape), torch.arange(4)
    one.step(x, y)
    with Kernels() as counted:
        one.step(x, y)
    return counted.n_kernels


@pytest.mark.parametrize("name", MOST)
def test_a_step_starts_few_kernels_and_the_same_in_each_phase(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Forward, loss, backward, update and hold, of a network that one graph serves: full, as a sub-network, and
    full again."""
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    changes, most = MOST[name]
    one = trial_networks(spec(**{"model.width": None, **changes}))
    everything = torch.ones(one.filters.n_filters, dtype=torch.bool)
    some = everything.clone()
    some[::3] = False
    one.members[0].counters.set_aside(0)
    found = []
    for keep in (everything, some, everything):
        one.network.set_keep(keep)
        found.append(kernels(one))
    assert found == [found[0]] * 3 and found[0] <= most


def test_what_is_counted() -> None:
    """Sums and writes, but no views and no memory without content."""
    x = torch.ones(2, 3)
    with Kernels() as counted:
        y = torch.empty(3, 2).copy_(x.t())
        torch._foreach_add_([x, y], 1.0)
        y.view(6).detach()[None].expand(2, 6).sum()
    assert counted.n_kernels == 3
