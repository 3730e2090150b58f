"""When a trial of a study is stopped early, as a value; how it is judged stands in `stopping`."""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.errors import SpecError
from reprtune.spec.rules import at_least, one_of

STOP_RULES = ("median", "percentile", "successive-halving", "none")


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When a trial is stopped early: compared only at its rungs, never before its first full cycle.

    Attributes:
        rule: which share of the comparable trials goes on: `median`: the better half; `percentile`:
            the best `percentile` per cent; `successive-halving`: the best 1/`reduction_factor`, judged only
            at the first rung after every 1/`reduction_factor`^k of the total (asynchronous: with who is
            there); or `none`.
        min_comparable: with fewer comparable trials nothing is stopped.
        percentile: between 0 and 100, for that rule (25 when left out).
        reduction_factor: at least 2, for that rule (3 when left out).
    """

    rule: str = "median"
    min_comparable: int = 5
    percentile: float | None = None
    reduction_factor: int | None = None

    def __post_init__(self) -> None:
        one_of("stop.rule", self.rule, STOP_RULES)
        at_least("stop.min_comparable", self.min_comparable, 1)
        for name, rule in (("percentile", "percentile"), ("reduction_factor", "successive-halving")):
            if getattr(self, name) is not None and self.rule != rule:
                raise SpecError(
                    f"stop.{name} is for stop.rule {rule!r}, but the rule is {self.rule!r}.", "Leave it out."
                )
        if self.percentile is not None and not 0 < self.percentile < 100:
            raise SpecError(f"stop.percentile must be between 0 and 100, but got {self.percentile}.")
        if self.reduction_factor is not None:
            at_least("stop.reduction_factor", self.reduction_factor, 2)

    @property
    def kept_share(self) -> float:
        """The share of the comparable trials that goes on, in (0, 1]."""
        if self.rule == "percentile":
            return (25.0 if self.percentile is None else self.percentile) / 100
        return {"median": 0.5, "none": 1.0}.get(self.rule, 1 / (self.reduction_factor or 3))
