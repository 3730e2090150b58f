"""What ranks filters. Higher score = dropped first.

A criterion is `score(filters, context)`: filters maps a layer's name to its weight (J, c, k, k), on any
device and in any memory format; the result maps the name to float64 scores (J,) on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from reprtune.spec import catalog


@dataclass(frozen=True)
class ScoreContext:
    """What a criterion may need besides the weights: seed of the trial, number of the cycle (from 0)."""

    seed: int
    cycle: int


def score_filters(name: str, filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """Scores of every filter by the criterion `name` of the catalog.

    Raises:
        SpecError: there is no such criterion.
    """
    scores: dict[str, Tensor] = catalog.resolve("criteria", name)(filters, context)
    return scores
