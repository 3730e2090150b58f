"""What a trial lived through: its curve, what was dropped and how it was restored.

It travels inside every training state, so that whoever continues a trial has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

PHASES = ("full", "sub")


@dataclass(frozen=True, kw_only=True, slots=True)  # a large study has a million
class Point:
    """One evaluation, at the end of a segment.

    Attributes:
        step: optimizer steps done so far.
        phase: `full` = the whole network, `sub` = without the dropped filters.
        cycle: cycles begun so far minus one; the final full training counts as one more.
        lr: learning rate of the segment's last step; of networks whose rates differ, the largest.
        train_loss: mean over the segment's training images.
        val_loss, val_error: mean cross-entropy, share of wrong answers, over the validation part.
        gflops: ideal cost so far, dropped filters counted as absent.
        seconds: training time so far, added up along the chain of states, whoever trained them.
        time: when the segment ended, seconds since 1970; fixed once.
    """

    step: int
    phase: str
    cycle: int
    lr: float
    train_loss: float
    val_loss: float
    val_error: float
    gflops: float
    seconds: float
    time: float


TIMED = "latency"  # begins the names of numbers that say how long something took
NUMBERS = tuple(f.name for f in fields(Point) if f.type == "float")
CURVES = tuple(name for name in NUMBERS if name != "time")  # what is measured, not when


@dataclass(frozen=True, kw_only=True)
class Drop:
    """The filters dropped at `step`.

    Attributes:
        dropped: layer -> indices of its dropped filters; layers without any are left out. Single weights are not
            listed, but counted in a `Happening` of the kind `drop`, layer -> how many.
        overlap: layer -> mean inter-filter overlap of the whole layer just before, in [0, 1].
        member: number of the network among the trial's.
    """

    step: int
    cycle: int
    dropped: Mapping[str, tuple[int, ...]]
    overlap: Mapping[str, float]
    member: int = 0


@dataclass(frozen=True, kw_only=True)
class Restore:
    """The return of the dropped filters at `step`.

    Attributes:
        levels: layer -> how many filters, or single weights, were restored at each level of the restore rule, in its own
            words: of orthogonality (`mutual`, `survivors`, `relaxed`), `released`, `random` and so on.
        overlap: layer -> mean inter-filter overlap just after. member: as of a drop.
    """

    step: int
    cycle: int
    levels: Mapping[str, Mapping[str, int]]
    overlap: Mapping[str, float]
    member: int = 0


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What an exchange between members at `step` did to them.

    Attributes:
        before, after: error of each member over the validation part.
    """

    step: int
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Anything else that happened at `step`, or was measured there, in numbers.

    Attributes:
        kind: `begin`, `renew`, `end`, `drop` (of single weights), or what was measured. numbers: name -> value. member: as of a drop.
    """

    kind: str
    step: int
    member: int = 0
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything recorded of one trial so far.

    Attributes:
        total_steps: planned length. steps_per_epoch: for an axis in epochs.
        layers: droppable layer -> number of its filters, in network order.
        kept_out: convolution that is never dropped -> the reason.
        rungs: steps at which this trial may be compared and stopped.
        happenings: all else that happened, in its order.
        points: their losses and errors are means over the members, after an exchange where one falls on the
            step; costs and times are sums.
        member_errors, ensemble_errors: at every point, the error of each member, and that of their mean
            probabilities; empty for a trial of one network.
        diverged_at: the step by which the loss was no longer finite, or None.
    """

    total_steps: int
    steps_per_epoch: int
    layers: Mapping[str, int] = field(default_factory=dict)
    kept_out: Mapping[str, str] = field(default_factory=dict)
    rungs: tuple[int, ...] = ()
    points: tuple[Point, ...] = ()
    drops: tuple[Drop, ...] = ()
    restores: tuple[Restore, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    happenings: tuple[Happening, ...] = ()
    member_errors: tuple[tuple[float, ...], ...] = ()
    ensemble_errors: tuple[float, ...] = ()
    diverged_at: int | None = None

    @property
    def n_members(self) -> int:
        """How many networks the trial trains; 1 until several have been evaluated."""
        return len(self.member_errors[0]) if self.member_errors else 1

    def drops_of(self, member: int = 0) -> list[Drop]:
        """What was dropped in one network; all drop at the same steps."""
        return [drop for drop in self.drops if drop.member == member]

    def restores_of(self, member: int = 0) -> list[Restore]:
        return [restore for restore in self.restores if restore.member == member]

    def full_points(self) -> list[tuple[int, float]]:
        """(step, error) where the trial can be compared: the whole network just before each
        drop, at its rungs, and at the end."""
        marks = {*self.rungs, *(d.step for d in self.drops), self.total_steps}
        return [(p.step, p.val_error) for p in self.points if p.phase == "full" and p.step in marks]
