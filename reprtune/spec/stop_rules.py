"""When a trial of a study is stopped early, as a value; how it is judged stands in `reprtune.stopping`.

A trial is compared with others only at its rungs, never before its first full cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reprtune.errors import SpecError
from reprtune.spec.named import Card, Named, option
from reprtune.spec.rules import at_least

CODE = "reprtune.stopping."


@dataclass(frozen=True, kw_only=True)
class StopRule(Named):
    """Which trials of a search end early.

    Attributes:
        stops: whether it ever ends one. needs_total: whether it must know how long a trial is.
    """

    word = "stop rule"
    noun = "stop rule"
    above = "stop"
    stops: ClassVar[bool] = True
    needs_total: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Comparing(StopRule):
    """A rule that lets a share of the comparable trials go on.

    Attributes:
        min_comparable: with fewer comparable trials nothing is stopped.
    """

    min_comparable: int = option(5, null=1)

    def check(self) -> None:
        at_least("stop.min_comparable", self.min_comparable, 1)


class Median(Comparing):
    kind = "median"
    card = Card(
        line="the better half goes on; judged at every rung",
        code=f"{CODE}median:MedianJudge",
        cost="",
        budget="",
        when="where all trials have cycles of one length; the default",
    )


@dataclass(frozen=True, kw_only=True)
class Percentile(Comparing):
    """As the median, with another share.

    Attributes:
        percentile: per cent of the comparable trials that go on, above 0 and below 100.
    """

    kind = "percentile"
    card = Card(
        line="the best `percentile` per cent go on; judged at every rung",
        code=f"{CODE}percentile:PercentileJudge",
        cost="",
        budget="",
        when="to stop more trials than the median does, or fewer",
        traps="the best 10 per cent only were too few where it was measured",
    )
    percentile: float = option(25.0, null=100.0)

    def check(self) -> None:
        super().check()
        if not 0 < self.percentile < 100:
            raise SpecError(f"stop.percentile must be between 0 and 100, but got {self.percentile}.")


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving(Comparing):
    """Asynchronous: nobody waits, a trial is compared with those who have been at that step.

    Attributes:
        reduction_factor: f, at least 2; one trial in so many goes on.
    """

    kind = "successive-halving"
    card = Card(
        line="the best 1/f go on, f = `reduction_factor`; "
        "judged at the first rung at or after T/f, T/f², ... of the length T",
        code=f"{CODE}successive_halving:SuccessiveHalvingJudge",
        paper="ASHA, arXiv 1810.05934; for several objectives MO-ASHA, arXiv 2106.12639",
        cost="",
        budget="",
        when="to judge long trials a few times only; as good as the median where it was measured, and fairer where "
        "lengths of cycles are searched and single evaluations are noisy",
    )
    needs_total = True
    reduction_factor: int = option(3, null=1)

    def check(self) -> None:
        super().check()
        at_least("stop.reduction_factor", self.reduction_factor, 2)


class NoStop(StopRule):
    kind = "none"
    card = Card(
        line="all go on",
        code=f"{CODE}no_stop:NoStopJudge",
        cost="every trial is trained to its end",
        budget="",
        when="where the first rungs say little about the end, as when lengths of cycles are searched",
    )
    stops = False


StopRule.kinds = (Median, Percentile, SuccessiveHalving, NoStop)
