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
DROPS = ("exact", "weights-only")
SCALES = ("own", "survivors", "old", "clip")
BATCH_NORMS = ("reset", "keep", "recalibrate")
OPTIMIZER_STATES = ("reset", "keep")
NEXT_KERNELS = ("keep", "zero", "small")
LEARNING_RATES = ("continue", "restart")
WORDS = {
    "scope": SCOPES,
    "drop": DROPS,
    "restore_scale": SCALES,
    "restore_bn": BATCH_NORMS,
    "restore_optimizer": OPTIMIZER_STATES,
    "restore_next": NEXT_KERNELS,
    "restore_lr": LEARNING_RATES,
}


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
        layer_cap: at most this share of the filters of one layer, in (0, 1]; one filter always stays.
        exclude_first: leave out the convolutions that read the input.
        exclude_shortcuts: leave out the projections on the shortcuts of residual blocks.
        exclude: leave out the layers whose names match one of these patterns, like `layer4.*`.
        drop: `exact`: exactly the network without the filters; `weights-only`: only their weights are 0
            and stay so, while bias and BatchNorm go on (what reproductions of the paper did).
        restore: how dropped filters come back; a name of the catalog.
        restore_scale: their norm. `own`: as the rule has it; `survivors`: the mean norm of the layer's
            survivors; `old`: each filter's norm before the drop; `clip`: the rule's direction with the
            length of a random vector, each weight cut to the largest of the survivors (so no longer
            exactly orthogonal; what the paper's author reported).
        restore_bn: BatchNorm and bias of restored filters. `reset`: as in a new network; `keep`: as they were
            at the drop, or went on since (weights-only); `recalibrate`: reset, then running statistics of the
            whole network measured anew.
        restore_optimizer: momentum and the like of restored filters: `reset` to 0, or `keep`.
        restore_next: the next layer's kernels that read a restored filter: `keep`, `zero`, or `small`
            (random, at a tenth of the layer's spread).
        restore_lr: the learning rate goes on (`continue`), or its schedule begins anew after each
            restore, over what is left until the next (`restart`).
    """

    cycles: int = 3
    s1: Duration = Duration.parse("20ep")
    s2: Duration = Duration.parse("10ep")
    criterion: str = "ortho"
    prune_ratio: float = 0.3
    scope: str = "global"
    layer_cap: float = 1.0
    exclude_first: bool = True
    exclude_shortcuts: bool = False
    exclude: tuple[str, ...] = ()
    drop: str = "exact"
    restore: str = "orthogonal"
    restore_scale: str = "own"
    restore_bn: str = "reset"
    restore_optimizer: str = "reset"
    restore_next: str = "keep"
    restore_lr: str = "continue"

    def __post_init__(self) -> None:
        catalog.find("criteria", self.criterion)
        rule = catalog.find("restores", self.restore)
        for field, known in WORDS.items():
            one_of(f"method.{field}", getattr(self, field), known)
        at_least("method.cycles", self.cycles, 0)
        if not 0 < self.layer_cap <= 1:
            raise SpecError(
                f"method.layer_cap must be above 0 and at most 1, but got {self.layer_cap}.",
                "It is a share of each layer: 0.5 leaves at least half of every layer.",
            )
        if self.restore_scale != "own" and "restore_scale" not in rule.fields:
            raise SpecError(
                f"method.restore_scale = {self.restore_scale} does nothing with the restore rule "
                f"{self.restore}, which has norms of its own.",
                "Leave method.restore_scale out.",
            )
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
