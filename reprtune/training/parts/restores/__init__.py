"""How dropped filters come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reprtune.spec.parts.restores import Restore, Scaled
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.restores.lengths import rescale


@dataclass(frozen=True, eq=False)
class Restored:
    """New weights of the dropped filters of a layer, or of its dropped single weights.

    Attributes:
        weight: (n_dropped, ...), in the order of the layer, with its dtype and device; of single weights (n_dropped,).
        levels: per dropped filter or weight, how much of its rule could be kept; words of the rule.
    """

    weight: Tensor
    levels: tuple[str, ...]


@dataclass(frozen=True)
class RuleContext:
    """What a restore rule may need besides the weights.

    Attributes:
        generator: for its draws, on the CPU.
        initial: the weights (J, ...) that this layer would begin with in a new network, on the CPU.
    """

    generator: torch.Generator
    initial: Callable[[], Tensor]


def restore_filters(rule: Restore, weight: Tensor, dropped: Tensor, context: RuleContext) -> Restored:
    """New weights by a restore rule, which is `restore(weight, dropped, context)`, at the norm it is to have.

    Args:
        weight: of the layer, (J, ...); the rows of dropped filters hold their old values.
        dropped: bool (J,), at least one filter of the layer not dropped; or, of single weights, of the shape of
            the weight.

    Raises:
        ReprtuneError: an own rule is not there, or fails, or returns something else.
    """
    restored: Restored = behaviour(rule, "restore_scale")(weight, dropped, context)
    if not isinstance(rule, Scaled) or rule.restore_scale == "own":
        return restored
    scale = rule.restore_scale
    return replace(restored, weight=rescale(restored.weight, weight, dropped, scale, context.generator))
