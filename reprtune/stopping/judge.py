"""Who goes on: what the rules that keep a share of the trials have in common.

*Notations*, besides those of `curves`
    n       number of comparable rivals; with fewer than `min_comparable` the trial goes on
    q       the share that goes on, which each rule says

**One objective.** Stopped when e is above the q-quantile of the e_i, linear between neighbours. A tie goes on.

**Several objectives.** The n + 1 vectors (e, c) are sorted into non-dominated fronts. In this order:

1. in the worst tenth by error, stopped, on the front or not: 10 * (1 + #{e_i >= e}) <= n + 1
   (a cheap network that learns nothing is no answer; ties and fewer than ten trials protect);
2. on the first front, goes on;
3. otherwise stopped when more than q n of the others are better: a better front, or the same front
   and a smaller error. A tie goes on.

The sort per rung is that of MO-ASHA (Schmucker et al., arXiv 2106.12639).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from reprtune.spec.stop_rules import Comparing, StopRule
from reprtune.stopping.curves import Rival, Standing, comparable
from reprtune.stopping.dominance import ranks

R = TypeVar("R", bound=StopRule)
C = TypeVar("C", bound=Comparing)


class Judge(abc.ABC, Generic[R]):
    """Decides as a stop rule says; `rule` has its options.

    Attributes:
        counts_stopped: does a rival that was stopped count at later steps, where there is a curve of plain training?
    """

    counts_stopped: ClassVar[bool] = False

    def __init__(self, rule: R) -> None:
        self.rule = rule

    @abc.abstractmethod
    def stops(self, standing: Standing, rivals: Sequence[Rival]) -> bool:
        """Whether a trial is to be stopped at its rung."""


class ShareJudge(Judge[C]):
    """Lets a share of the comparable trials go on."""

    counts_stopped = True

    @property
    @abc.abstractmethod
    def kept_share(self) -> float:
        """The share that goes on, above 0 and below 1."""

    def is_judged(self, standing: Standing) -> bool:  # noqa: ARG002 - of rules that pass rungs over
        """Whether the rule looks at this rung at all."""
        return True

    def stops(self, standing: Standing, rivals: Sequence[Rival]) -> bool:
        """As the notations say.

        Raises:
            ValueError: the trial has a cost, but a comparable rival has none.
        """
        if not self.is_judged(standing):
            return False
        found = comparable(rivals, standing, counts_stopped=self.counts_stopped)
        if len(found) < self.rule.min_comparable:
            return False
        errors = [e for e, _ in found]
        if standing.cost is None:
            return standing.error > quantile(errors, self.kept_share)
        if any(c is None for _, c in found):
            raise ValueError("Every other trial needs a cost when this one has one.")
        points: list[tuple[float, float]] = [(standing.error, standing.cost), *found]  # type: ignore[list-item]
        return in_worst_tenth(standing.error, errors) or is_behind(points, self.kept_share)


def quantile(values: Sequence[float], share: float) -> float:
    """Linear between the sorted values, so that 0.5 gives the median; infinite values are allowed."""
    ordered = sorted(values)
    # Rounded, so that a third of nine neighbours is the third one and a tie with it goes on.
    place = round((len(ordered) - 1) * share, 9)
    low, part = int(place), place % 1
    if part == 0 or math.isinf(ordered[low]):
        return ordered[low]
    return ordered[low] + part * (ordered[low + 1] - ordered[low])


def in_worst_tenth(error: float, errors: Sequence[float]) -> bool:
    not_better = sum(e >= error for e in errors)
    return 10 * (1 + not_better) <= 1 + len(errors)


def is_behind(points: Sequence[tuple[float, float]], share: float) -> bool:
    """Whether more than `share` of the others are before the first of the (error, cost)."""
    fronts = ranks(points)
    if fronts[0] == 0:
        return False
    own = (fronts[0], points[0][0])
    better = sum((front, error) < own for front, (error, _) in zip(fronts[1:], points[1:], strict=True))
    return better > round(share * (len(points) - 1), 9)
