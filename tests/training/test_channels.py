"""Every operation that is said to keep 0 does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.training.channels import ZERO_KEEPING_FUNCTIONS, ZERO_KEEPING_MODULES
from reprtune.training.seeds import generator

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
