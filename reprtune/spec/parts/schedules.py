"""When what happens: the place `schedule`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.parts.part import Card, Part, option
from reprtune.spec.rules import above_0, at_least, parse_durations, positive_share

CODE = "reprtune.training.parts.schedules."
TAKING = ("criterion", "selection", "drop", "restore", "restore_rules")


@dataclass(frozen=True, kw_only=True)
class Schedule(Part):
    """When what happens.

    Attributes:
        shorten: the options to lower where it does not fit the total.
        acts: the places of a method that act at its events, or between them because of it.
    """

    place = "schedule"
    noun = "schedule"
    shorten: ClassVar[str] = ""
    acts: ClassVar[tuple[str, ...]] = ()

    def first(self, total: Duration) -> Duration:
        """How long nothing has happened yet in a trial of that length."""
        return total

    def lengths(self) -> dict[str, Duration]:
        """Path -> what must be at least one step."""
        return {}

    def steps_needed(self, steps_per_epoch: int) -> int:
        """Optimizer steps that the total must have."""
        return sum(length.steps(steps_per_epoch) for length in self.lengths().values())

    @property
    def extent(self) -> str:
        """What must fit the total, in words."""
        return self.kind


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
        code=f"{CODE}cycles:events",
        paper="RePr, arXiv 1811.07275",
        when="for RePr, DSD and their kind; with s2 = 0 to renew filters on the way",
    )

    shorten = "method.cycles, method.s1 or method.s2"
    acts = TAKING

    cycles: int = option(3, null=0)
    s1: Duration = option(Duration.parse("20ep"), null="the total")
    s2: Duration = option(Duration.parse("10ep"), null="0ep")

    def check(self) -> None:
        at_least("method.cycles", self.cycles, 1)
        parse_durations(self, "method", "s1", hint="For training without cycles take method standard.")
        object.__setattr__(self, "s2", Duration.parse(self.s2, "method.s2"))

    def first(self, total: Duration) -> Duration:  # noqa: ARG002 - of a place
        return self.s1

    def lengths(self) -> dict[str, Duration]:
        return {"method.s1": self.s1} | ({"method.s2": self.s2} if self.s2.value else {})

    def steps(self, steps_per_epoch: int) -> tuple[int, int]:
        """Optimizer steps of the full and of the sub-network phase."""
        return self.s1.steps(steps_per_epoch), self.s2.steps(steps_per_epoch)

    def steps_needed(self, steps_per_epoch: int) -> int:
        return self.cycles * sum(self.steps(steps_per_epoch))

    @property
    def extent(self) -> str:
        return f"{self.cycles} cycles of {self.s1} + {self.s2}"


@dataclass(frozen=True, kw_only=True)
class Every(Schedule):
    """The same again and again: members exchange, or filters are dropped and restored at once.

    Attributes:
        period: how long between two times. until: share of the total after which nothing happens any more.
    """

    kind = "every"
    card = Card(
        line="the same after every `period`, up to the share `until` of the total",
        code=f"{CODE}every:events",
        when="for what happens at the end of every epoch: grafting, averaging, soft filter pruning",
    )

    shorten = "method.period"
    acts = (*TAKING, "exchange")

    period: Duration = option(Duration.parse("1ep"), null="the total")
    until: float = option(1.0, null=1.0)

    def check(self) -> None:
        parse_durations(self, "method", "period")
        positive_share("method.until", self.until)

    def first(self, total: Duration) -> Duration:  # noqa: ARG002 - of a place
        return self.period

    def lengths(self) -> dict[str, Duration]:
        return {"method.period": self.period}

    def steps_needed(self, steps_per_epoch: int) -> int:
        return math.ceil(round(self.period.steps(steps_per_epoch) / self.until, 9))

    @property
    def extent(self) -> str:
        return f"Periods of {self.period}"


@dataclass(frozen=True, kw_only=True)
class Generations(Schedule):
    """Trainings of equal length that share the total; each but the first begins with what is left of the one before.

    Attributes:
        generations: how many there are, the first included.
    """

    kind = "generations"
    card = Card(
        line="`generations` trainings of equal length, each from what the one before leaves",
        code=f"{CODE}generations:events",
        paper="BAN, arXiv 1805.04770; Knowledge Evolution, arXiv 2103.05152",
        when="for what is trained to the end and then begun again, in part or in whole",
        traps="the papers train each generation as long as their control: here all share the total, so compare with "
        "plain training of that total and of one generation's length; rules that stop early mistake a trial that has "
        "just begun anew for a bad one",
    )

    shorten = "method.generations"
    acts = ("criterion", "selection", "restore", "restore_rules")

    generations: int = option(5, null=1)

    def check(self) -> None:
        at_least("method.generations", self.generations, 1)

    def first(self, total: Duration) -> Duration:
        return Duration(total.value / self.generations, total.unit)

    def steps_needed(self, steps_per_epoch: int) -> int:  # noqa: ARG002 - of a place
        return self.generations

    @property
    def extent(self) -> str:
        return f"{self.generations} generations"


@dataclass(frozen=True, kw_only=True)
class Phase(Schedule):
    """One long phase, which ends with the training.

    Attributes:
        start: share of the total at which it begins.
        until_distance: the training ends at the first rung at which the gradient rule's distance (for centripetal
            the mean distance of the filters of a cluster, of the layer where it is largest) is at most this; None =
            with the total.
    """

    kind = "phase"
    card = Card(
        line="one phase from the share `start` of the total to the end, or until filters are close enough",
        code=f"{CODE}phase:events",
        paper="C-SGD, arXiv 1904.03837",
        when="for what is begun once and never taken back",
        traps="with until_distance trials have different lengths: compare their costs too",
    )
    acts = ("criterion", "selection", "drop", "gradient")

    start: float = option(0.0, null=0.0)
    until_distance: float | None = option(None, null=None)

    def check(self) -> None:
        if not 0 <= self.start < 1:
            raise SpecError(
                f"method.start must be at least 0 and below 1, but got {self.start}.",
                "It is a share of the total: 0.5 begins the phase in the middle.",
            )
        if self.until_distance is not None:
            above_0("method.until_distance", self.until_distance)

    def first(self, total: Duration) -> Duration:
        return Duration(total.value * Fraction(self.start), total.unit)


Schedule.kinds = (Cycles, Every, Generations, Phase)
