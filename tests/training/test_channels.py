"""Every operation that is said to keep 0 does, and every one that is said to treat channels one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.channels import (
    EACH_CHANNEL_FUNCTIONS,
    EACH_CHANNEL_MODULES,
    ZERO_KEEPING_FUNCTIONS,
    ZERO_KEEPING_MODULES,
    shape_of,
    treats_each_channel,
)
from reprtune.training.surgery.tracing import trace

WITH_NUMBER = {
    nn.MaxPool2d: 2, nn.AvgPool2d: 3, nn.AdaptiveAvgPool2d: 1, nn.AdaptiveMaxPool2d: 2, nn.Upsample: 12,
    nn.ZeroPad2d: 1, nn.ReflectionPad2d: 2, nn.ReplicationPad2d: 1,
}  # fmt: skip
WITH_SIZE = {
    F.max_pool2d: 2, F.avg_pool2d: 3, F.adaptive_avg_pool2d: 1, F.adaptive_max_pool2d: 2, F.interpolate: 9
}  # fmt: skip


def picture() -> Tensor:
    """Channel 1 of 3 is 0."""
    x = torch.randn(2, 3, 6, 6, generator=generator(0, "x"))
    x[:, 1] = 0
    return x


def check(operation: Callable[[Tensor], Tensor]) -> None:
    """The channel that is 0 stays exactly 0, the others do not, and channels do not see each other."""
    torch.manual_seed(0)
    y = operation(picture())
    assert (y[:, 1] == 0).all() and y.shape[1] == 3
    assert y.any()
    changed = picture()
    changed[:, 2] = 9.0
    torch.manual_seed(0)
    assert torch.equal(operation(changed)[:, :2], y[:, :2])


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", ZERO_KEEPING_MODULES, ids=lambda m: m.__name__)
def test_modules_keep_zero(kind: type[nn.Module], training: bool) -> None:
    """In training and in evaluation."""
    module = (
        kind(WITH_NUMBER[kind])
        if kind in WITH_NUMBER
        else kind(0.3)
        if "Dropout" in kind.__name__
        else kind()
    )
    check(module.train(training))


def by_name(function: Callable[..., Tensor] | str) -> tuple[str, str]:
    """An order that does not change from process to process."""
    return str(getattr(function, "__module__", "")), str(getattr(function, "__qualname__", function))


@pytest.mark.parametrize(
    "function", sorted(ZERO_KEEPING_FUNCTIONS, key=by_name), ids=lambda f: getattr(f, "__name__", f)
)
def test_functions_keep_zero(function: Callable[..., Tensor] | str) -> None:
    """Called plainly, or as a method."""
    if isinstance(function, str):
        check(lambda x: getattr(x, function)())
    elif function in WITH_SIZE:
        check(lambda x: function(x, WITH_SIZE[function]))
    else:
        check(function)


def changes_others(operation: Callable[[Tensor], Tensor]) -> bool:
    """Does another channel of the result change with the last one, or the last one not?"""
    results = []
    for value in (1.0, 9.0):
        x = picture()
        x[:, 2] *= value
        torch.manual_seed(0)
        results.append(operation(x))
    same = [torch.equal(a, b) for a, b in zip(*(r.unbind(1) for r in results), strict=True)]
    return same != [True, True, False]


@pytest.mark.parametrize(
    "kind", [m for m in EACH_CHANNEL_MODULES if m not in ZERO_KEEPING_MODULES], ids=lambda m: m.__name__
)
def test_modules_treat_each_channel(kind: type[nn.Module]) -> None:
    """Though 0 may become something else. (Those that keep 0 are tested with that.)"""
    assert not changes_others(kind())


@pytest.mark.parametrize(
    "function",
    sorted(EACH_CHANNEL_FUNCTIONS - ZERO_KEEPING_FUNCTIONS, key=by_name),
    ids=lambda f: getattr(f, "__name__", f),
)
def test_functions_treat_each_channel(function: Callable[..., Tensor] | str) -> None:
    """Called plainly, or as a method."""
    call = (lambda x: getattr(x, function)()) if isinstance(function, str) else function
    assert not changes_others(call)


OPERATIONS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "new dimensions": (lambda x: x[:, :, None], True),
    "unsqueeze": (lambda x: x.unsqueeze(2), True),
    "flattened pixels": (lambda x: x.flatten(2), True),
    "viewed pixels": (lambda x: x.view(2, 3, 4, 9), True),
    "a window": (lambda x: x[:, :, 1:3, ::2], True),
    "padding": (lambda x: F.pad(x, (1, 1)), True),
    "sum with a number": (lambda x: 1 - x + 2, True),
    "quotient": (lambda x: x / 2, True),
    "all in a row": (lambda x: x.flatten(1), False),
    "some channels": (lambda x: x[:, :2], False),
    "a channel": (lambda x: x[:, None, 0], False),
    "turned": (lambda x: x.permute(0, 2, 3, 1), False),
    "softmax": (lambda x: torch.softmax(x, 1), False),
    "new channels": (lambda x: F.pad(x, (0, 0, 0, 0, 0, 1)), False),
    "doubled": (lambda x: x + x, False),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_treats_each_channel(name: str) -> None:
    """Windows, padding, numbers and shapes that leave images and channels alone do; nothing else is said to."""
    operation, expected = OPERATIONS[name]

    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return operation(x)

    graph, _ = trace(Network(), picture())
    calls = [node for node in graph.nodes if node.op.startswith("call")]
    shapes = [(shape_of(node.all_input_nodes[0]), shape_of(node)) for node in calls]
    found = [treats_each_channel(n, a, b) for n, (a, b) in zip(calls, shapes, strict=True) if a and b]
    assert all(found) == expected
    if expected:
        assert not changes_others(operation)
