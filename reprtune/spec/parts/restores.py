"""How what was dropped comes back: the places `restore` and `restore_rules`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reprtune.spec.parts.part import Card, Own, Part, check_words, option
from reprtune.spec.rules import above_0, between

SCALES = ("own", "survivors", "old", "clip")
BATCH_NORMS = ("reset", "keep", "recalibrate")
OPTIMIZER_STATES = ("reset", "keep")
NEXT_KERNELS = ("keep", "zero", "small", "random")
LEARNING_RATES = ("continue", "restart", "scaled")
CODE = "reprtune.training.parts.restores."


@dataclass(frozen=True, kw_only=True)
class Restore(Part):
    """Attributes:
    units: what it can bring back: `filter`, `weight`.
    """

    place = "restore"
    nulls = ("random", "old")
    noun = "restore rule"
    units: ClassVar[tuple[str, ...]] = ("filter",)


@dataclass(frozen=True, kw_only=True)
class Scaled(Restore):
    """A rule with a direction, whose norm can be chosen.

    Attributes:
        restore_scale: norm of the new filters. `own`: as the rule has it; `survivors`: the mean norm of the
            layer's survivors; `old`: each filter's norm before the drop; `clip`: the rule's direction with
            the length of a random vector, each weight cut to the largest of the survivors (so no longer
            exactly orthogonal; what the paper's author reported).
    """

    restore_scale: str = option("own", null="own", words=SCALES)


class Orthogonal(Scaled):
    kind = "orthogonal"
    card = Card(
        line="random, orthogonal to the survivors and to its own old value; norm = mean of the survivors",
        code=f"{CODE}orthogonal:restore",
        paper="RePr, arXiv 1811.07275",
        cost="one QR per layer and cycle",
        when="to do what the paper does",
        traps="no such direction where a layer has more filters than a filter has weights: then it is relaxed",
    )


class AsReleased(Scaled):
    kind = "as-released"
    card = Card(
        line="what the paper's released code does: the old filter less its shadow on the filters before it",
        code=f"{CODE}released:restore",
        cost="one QR per layer and cycle",
        when="to repeat the released code",
        traps="the opposite of the paper: the new filter has a cosine of +0.9 with the old one",
    )


class Random(Scaled):
    kind = "random"
    units = ("filter", "weight")
    card = Card(
        line="drawn like the layer's own initial weights",
        code=f"{CODE}simple:restore_random",
        cost="building the network once per cycle",
        when="as the control of orthogonal",
    )


class Zero(Restore):
    kind = "zero"
    units = ("filter", "weight")
    card = Card(
        line="all weights 0",
        code=f"{CODE}simple:restore_zero",
        paper="DSD, arXiv 1607.04381",
        traps="after a reset of BatchNorm a ReLU gives it no gradient, so it stays silent",
    )


class Old(Scaled):
    kind = "old"
    units = ("filter", "weight")
    card = Card(
        line="the weights it had when it was dropped",
        code=f"{CODE}simple:restore_old",
        when="as the control: dropping without renewing",
    )


@dataclass(frozen=True, kw_only=True)
class Crossover(Restore):
    """Its smallest taps are mixed with the largest ones of a strong filter.

    Attributes:
        cross_share: of the taps of each kernel, rounded up to whole taps; of kernels of one tap the whole filter is
            mixed.
    """

    kind = "crossover"
    card = Card(
        line="its smallest taps take over from the largest of a strong filter of its layer",
        code=f"{CODE}crossover:restore",
        paper="Weight Evolution, arXiv 2110.04492",
        cost="a sort of each taken filter's taps",
        when="for weak filters that are to be repaired, not replaced",
        traps="bounded by the larger tap, where the released code only doubles the smallest and can blow up; "
        "BatchNorm's scale and shift, which the paper crosses too, stay",
    )

    cross_share: float = option(0.1, null=0.0)

    def check(self) -> None:
        between("method.cross_share", self.cross_share, 0, 1)


class Untied(Restore):
    kind = "untied"
    card = Card(
        line="what each filter was made to be by its tie becomes weights of its own (our design)",
        code=f"{CODE}untied:restore",
        paper="after the idea of arXiv 2110.12844, of which only the abstract is public",
        when="after drop = tied: what the network says does not change",
        needs="drop = tied",
        traps="momentum is what it was at the drop, unless restore_optimizer = reset",
    )


@dataclass(frozen=True, kw_only=True)
class OwnRestore(Own, Restore):
    card = Card(line="your own: restore(weight, dropped, context), keyword arguments are its options")


@dataclass(frozen=True, kw_only=True)
class RestoreRules:
    """What else happens at a restore.

    Attributes:
        restore_bn: BatchNorm and bias of restored filters. `reset`: as in a new network; `keep`: as they were
            at the drop, or went on since (weights-only); `recalibrate`: reset, then running statistics of the
            whole network measured anew.
        restore_optimizer: momentum and the like of restored filters, in a new generation of everything: `reset` to
            0, or `keep`.
        restore_next: the next layer's kernels that read a restored filter: `keep`, `zero`, `small` (random, at a
            tenth of the layer's spread), or `random` (as in a new network).
        restore_lr: the learning rate goes on (`continue`); its schedule begins anew after each restore or in each
            generation, over what is left until the next (`restart`); or it goes on, times `restore_lr_scale` once
            more from each restore on (`scaled`).
        restore_lr_scale: factor of `scaled`; DSD's last phase has 0.1.
    """

    card = Card(
        line="what else happens at a restore: to BatchNorm, optimizer, next kernels and learning rate",
        traps="an accuracy right after a restore with BatchNorm reset says little",
    )

    restore_bn: str = option("reset", null="keep", words=BATCH_NORMS)
    restore_optimizer: str = option("reset", null="keep", words=OPTIMIZER_STATES)
    restore_next: str = option("keep", null="keep", words=NEXT_KERNELS)
    restore_lr: str = option("continue", null="continue", words=LEARNING_RATES)
    restore_lr_scale: float = option(0.1, null=1.0, acts_with=("restore_lr", "scaled"))

    def __post_init__(self) -> None:
        check_words(self)
        above_0("method.restore_lr_scale", self.restore_lr_scale)


Restore.kinds = (Orthogonal, AsReleased, Random, Zero, Old, Crossover, Untied)
Restore.own = OwnRestore
