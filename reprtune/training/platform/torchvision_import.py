"""`import torchvision` beside any torch: import `datasets`, `models` and `transforms` from here."""

from __future__ import annotations

import sys

import torch

# torchvision from PyPI is built for CUDA. Its compiled part does not load beside a CPU-only torch, so that
# its import fails on two operators that it only wants to describe. Declaring them is enough: data sets,
# classification networks and transforms use none. The library must stay alive, or the declaration goes
# with it.
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []


def _declare_operators() -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + _SIGNATURE)  # type: ignore[no-untyped-call]
    _declared.append(library)


try:
    from torchvision import datasets, models
    from torchvision.transforms import v2 as transforms
except RuntimeError as error:
    if torch.version.cuda is not None or "torchvision::" not in str(error):
        raise
    _declare_operators()
    from torchvision import datasets, models
    from torchvision.transforms import v2 as transforms

__all__ = ["datasets", "models", "transforms"]
