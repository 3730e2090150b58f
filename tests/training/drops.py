"""What the tests of the place `drop` share: a composition for each part, and what it promises at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from reprtune.spec.trial import TrialSpec
from reprtune.training.parts.drops import Dropping
from reprtune.training.parts.drops.tied_weights import TiedWeights
from tests.training.test_every_training import RULES
from tests.training.tiny import spec

# Drop -> what it stands beside.
BESIDE: dict[str, dict[str, Any]] = {
    "exact": {"method.exclude_first": False, "method.criterion": "random", "method.scope": "layer"},
    "weights-only": {"method.exclude_first": False, "method.criterion": "random", "method.scope": "layer"},
    "single-weights": {"method.selection": "weights", "method.criterion": "magnitude", "method.restore": "zero"},
    "tied": {"method.restore": "untied", "method.criterion": "random", "method.fit_scale": True},
}  # fmt: skip


def trial(drop: str, rule: str = "sgd", **changes: Any) -> TrialSpec:
    """The tiny trial with this drop and one of the optimizers, weight decay on."""
    training = {f"training.{name}": value for name, value in RULES[rule].items()}
    method = {"method.drop": drop, **BESIDE[drop]}
    return spec(**{"training.weight_decay": 0.01, **training, **method, **changes})


def gone_weights(dropping: Dropping) -> dict[str, Tensor]:
    """Layer -> the numbers at the places that are gone, as the forward pass takes them."""
    weights = dropping.network.parameters
    return {layer: weights[f"{layer}.weight"].detach()[mask] for layer, mask in dropping.taken.items()}


def are_zero(dropping: Dropping) -> bool:
    """Of every layer that lost something."""
    return not any(numbers.any() for numbers in gone_weights(dropping).values())


def are_silent(dropping: Dropping) -> bool:
    """Scale and shift of the BatchNorm after them are 0, so that whatever reads them reads 0."""
    network = dropping.network
    norms = {layer: f"{network.filters.norms[layer]}." for layer in dropping.taken}
    rows = [
        network.parameters[norms[layer] + key].detach()[mask]
        for layer, mask in dropping.taken.items()
        for key in ("weight", "bias")
    ]
    return not any(row.any() for row in rows)


def are_made(dropping: Dropping) -> bool:
    """Every tied filter is its source with the taps in the places that numpy puts them, scaled."""
    assert isinstance(dropping, TiedWeights)
    for layer, ties in dropping.ties.items():
        weight = dropping.network.parameters[f"{layer}.weight"].detach().numpy()
        for j in ties.tied.nonzero().flatten().tolist():
            number, taps = int(ties.transform[j]), weight[int(ties.source[j])]
            flip, turns, sign = number % 8 >= 4, number % 4, -1 if number >= 8 else 1
            turned = np.rot90(taps[:, :, ::-1] if flip else taps, turns, (1, 2))
            if not np.array_equal(weight[j], np.float32(sign * float(ties.scale[j])) * turned):
                return False
    return bool(dropping.ties)


# Drop -> what is so at every step while it is active.
HELD: dict[str, Callable[[Dropping], bool]] = {
    "exact": are_silent,
    "weights-only": are_zero,
    "single-weights": are_zero,
    "tied": are_made,
}
