"""How dropped filters come back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reprtune.spec import catalog


@dataclass(frozen=True, eq=False)
class Restored:
    """New weights of the dropped filters of a layer.

    Attributes:
        weight: (n_dropped, ...), in the order of the layer, with its dtype and device.
        levels: per dropped filter, how much of its rule could be kept; words of the rule.
    """

    weight: Tensor
    levels: tuple[str, ...]


def restore_filters(name: str, weight: Tensor, dropped: Tensor, generator: torch.Generator) -> Restored:
    """New weights by the restore rule `name` of the catalog.

    Args:
        weight: of the layer, (J, ...); the rows of dropped filters hold their old values.
        dropped: bool (J,), at least one filter of the layer not dropped.
        generator: on the CPU.

    Raises:
        SpecError: there is no such rule.
    """
    restored: Restored = catalog.resolve("restores", name)(weight, dropped, generator)
    return restored
