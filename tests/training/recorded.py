"""A CUDA graph as far as a CPU can play one: operations are recorded once and run again on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Body = Callable[[], None]


class Recording(TorchDispatchMode):
    """Records every operation with its arguments. `replay` runs them again, each result written where it first
    lay: whatever else changed since, a branch, another tensor, a number of Python's, is not seen, as in a graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """An operation; what would wait for a device is an error."""
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, before in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old is not new and not _aliases(func):
                    old.copy_(new)


def _aliases(func: Any) -> bool:
    """Is the result a view of an argument? Then it is up to date already."""
    return any(r.alias_info is not None for r in func._schema.returns)


class Capture:
    """Stands for `capture_on_cuda`: three steps of warm-up, then the recording.

    Attributes:
        n_captures: how often something was captured. recording: the last.
    """

    def __init__(self) -> None:
        self.n_captures = 0
        self.n_replays = 0

    def __call__(self, body: Body, _: torch.device) -> Body:
        for _ in range(3):
            body()
        self.n_captures += 1
        with Recording() as recording:
            body()

        def replay() -> None:
            self.n_replays += 1
            recording.replay()

        return replay
