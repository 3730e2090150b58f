"""When what happens: the place `schedule`."""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.parts.part import Card, Part, option
from reprtune.spec.rules import at_least, parse_durations

CODE = "reprtune.training.schedule:"


@dataclass(frozen=True, kw_only=True)
class Schedule(Part):
    place = "schedule"

    def first(self, total: Duration) -> Duration:
        """How long nothing has happened yet."""
        return total


@dataclass(frozen=True, kw_only=True)
class Cycles(Schedule):
    """Train fully for `s1`, drop, train the sub-network for `s2`, restore; `cycles` times, then fully to the end.

    Attributes:
        cycles: how often. s1, s2: lengths of the full and of the sub-network phase; with s2 = 0 what is
            dropped comes back at once.
    """

    kind = "cycles"
    card = Card(
        line="`cycles` times: s1 full, drop, s2 without, restore; then full to the end",
        code=f"{CODE}cycles",
        paper="RePr, arXiv 1811.07275",
        when="for RePr, DSD and their kind; with s2 = 0 to renew filters on the way",
    )

    cycles: int = option(3, null=0)
    s1: Duration = option(Duration.parse("20ep"), null="the total")
    s2: Duration = option(Duration.parse("10ep"), null="0ep")

    def check(self) -> None:
        at_least("method.cycles", self.cycles, 1)
        parse_durations(self, "method", "s1", hint="For training without cycles take method standard.")
        object.__setattr__(self, "s2", Duration.parse(self.s2, "method.s2"))

    def first(self, total: Duration) -> Duration:  # noqa: ARG002 - of a place
        return self.s1

    def steps(self, steps_per_epoch: int) -> tuple[int, int]:
        """Optimizer steps of the full and of the sub-network phase."""
        return self.s1.steps(steps_per_epoch), self.s2.steps(steps_per_epoch)


@dataclass(frozen=True, kw_only=True)
class Every(Schedule):
    """The same again and again: members exchange, or filters are dropped and restored at once.

    Attributes:
        period: how long between two times. until: share of the total after which nothing happens any more.
    """

    kind = "every"
    card = Card(
        line="the same after every `period`, up to the share `until` of the total",
        code=f"{CODE}every",
        when="for what happens at the end of every epoch: grafting, averaging, soft filter pruning",
    )

    period: Duration = option(Duration.parse("1ep"), null="the total")
    until: float = option(1.0, null=1.0)

    def check(self) -> None:
        parse_durations(self, "method", "period")
        if not 0 < self.until <= 1:
            raise SpecError(f"method.until must be above 0 and at most 1, but got {self.until}.")

    def first(self, total: Duration) -> Duration:  # noqa: ARG002 - of a place
        return self.period


@dataclass(frozen=True, kw_only=True)
class Generations(Schedule):
    """Train for `generation`, then begin a new generation that keeps some of the last.

    Attributes:
        generations: how many there are, the first included.
    """

    kind = "generations"
    card = Card(
        line="`generations` trainings of equal length, each from what the one before leaves",
        paper="BAN, arXiv 1805.04770; Knowledge Evolution, arXiv 2103.05152",
    )

    generations: int = option(5, null=1)

    def check(self) -> None:
        at_least("method.generations", self.generations, 1)


@dataclass(frozen=True, kw_only=True)
class Phase(Schedule):
    """One long phase: begun at the share `start` of the total, ended with the training."""

    kind = "phase"
    card = Card(
        line="one phase from the share `start` of the total to the end", paper="C-SGD, arXiv 1904.03837"
    )

    start: float = option(0.0, null=0.0)


Schedule.kinds = (Cycles, Every, Generations, Phase)
