"""What ranks filters. Higher score = dropped first.

A criterion is `score(filters, context)`: filters maps a layer's name to its weight (J, c, k, k), on any
device and in any memory format; the result maps the name to float64 scores (J,) on the CPU; of single weights, of
the weight's shape. It leaves weights, statistics, modes and random generators as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from reprtune.spec.parts.criteria import Criterion
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.surgery.subnetwork import SubNetwork


@dataclass(frozen=True)
class ScoreContext:
    """What a criterion may need besides the weights.

    Attributes:
        seed: of the trial. cycle: its number, from 0. member: number of the network among the trial's.
        network: the whole network, with its filter map; data-driven criteria see it in evaluation mode.
        batches: the score part in its fixed order, as often as wanted: images float32 (B, C, H, W)
            channels-last and labels int64 (B,), on the device of the network.
        unit: what is ranked: each `filter`, or each `weight`.
    """

    seed: int
    cycle: int
    network: SubNetwork
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    member: int = 0
    unit: str = "filter"


def score_filters(
    criterion: Criterion, filters: Mapping[str, Tensor], context: ScoreContext
) -> dict[str, Tensor]:
    """Scores of every filter by a criterion.

    Raises:
        ReprtuneError: an own criterion is not there, or fails, or returns something else.
    """
    scores: dict[str, Tensor] = behaviour(criterion)(filters, context)
    return scores
