"""A training method as a composition: schedule -> criterion -> selection -> drop -> restore.

Standard training is the composition with no cycles. Every field is an ablation factor.
"""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.errors import SpecError
from reprtune.spec import catalog
from reprtune.spec.duration import Duration
from reprtune.spec.rules import at_least, one_of, parse_durations

SCOPES = ("global", "layer")


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """RePr (arXiv 1811.07275) and its controls.

    Attributes:
        cycles: how often to train fully for `s1`, drop, train the sub-network for `s2` and restore.
            0 = standard training; nothing below is then used.
        s1, s2: lengths of the full and of the sub-network phase.
        criterion: what ranks the filters; a name of the catalog.
        prune_ratio: share of the droppable filters that is dropped, exactly round(ratio * number).
        scope: one ranking over the whole network, or one per layer.
        exclude_first: leave out the convolutions that read the input.
        restore: how dropped filters come back; a name of the catalog.
    """

    cycles: int = 3
    s1: Duration = Duration.parse("20ep")
    s2: Duration = Duration.parse("10ep")
    criterion: str = "ortho"
    prune_ratio: float = 0.3
    scope: str = "global"
    exclude_first: bool = True
    restore: str = "orthogonal"

    def __post_init__(self) -> None:
        catalog.find("criteria", self.criterion)
        catalog.find("restores", self.restore)
        one_of("method.scope", self.scope, SCOPES)
        at_least("method.cycles", self.cycles, 0)
        if not 0 < self.prune_ratio < 1:
            raise SpecError(
                f"method.prune_ratio must be above 0 and below 1, but got {self.prune_ratio}.",
                "It is a share: 0.3 drops 30 % of the filters.",
            )
        parse_durations(
            self, "method", "s1", "s2", hint="For training without cycles set method.cycles to 0."
        )

    def cycle_steps(self, steps_per_epoch: int) -> tuple[int, int]:
        """Optimizer steps of the full and of the sub-network phase."""
        return self.s1.steps(steps_per_epoch), self.s2.steps(steps_per_epoch)
