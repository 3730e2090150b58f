"""One factor at a time, and all of them against each other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.codec import later
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Design, Factor, check_factors
from reprtune.spec.names import LONGEST
from reprtune.spec.trial import TrialSpec

MOST_CELLS = 1024


@dataclass(frozen=True, kw_only=True)
class OneAtATime(Design):
    """A baseline, and every other level of every factor by itself; each is compared with the baseline.

    Attributes:
        arm: the baseline. factors: what is varied; the first level of each is the baseline's, added to its changes.
    """

    kind: ClassVar[str] = "one-at-a-time"
    line: ClassVar[str] = "a baseline, and every other level of every factor by itself"
    arm: Arm
    factors: tuple[Factor, ...]

    def check(self, where: str) -> None:
        check_factors(where, self.factors)

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:  # noqa: ARG002 - all stands there
        first = {factor.name: factor.first for factor in self.factors}
        baseline = cell(self.arm.name, self.arm, self.factors, first)
        others = [
            cell(factor.cell(level), self.arm, self.factors, {**first, factor.name: level}, (self.arm.name,))
            for factor in self.factors
            for level in factor.others
        ]
        return (baseline, *others)


@dataclass(frozen=True, kw_only=True)
class FullFactorial(Design):
    """Every combination of levels; what each factor does is the mean over all combinations of the others.

    Attributes:
        factors: what is varied. changes: what all cells have in common.
        asked: the factor that the question is about, if it is about one; its first level is held against the others in
            every combination of the rest, the regimes.
    """

    kind: ClassVar[str] = "full-factorial"
    line: ClassVar[str] = "every combination of the levels of all factors"
    is_factorial: ClassVar[bool] = True
    factors: tuple[Factor, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    asked: str | None = later(None)

    def check(self, where: str) -> None:
        check_factors(where, self.factors, fewest=2)
        names = [factor.name for factor in self.factors]
        if self.asked is not None and self.asked not in names:
            raise SpecError(
                f"{where}.asked must name one of its factors, but got {self.asked!r}.",
                did_you_mean(self.asked, names),
            )
        n = 1
        for factor in self.factors:
            n *= len(factor.levels)
        if n > MOST_CELLS:
            raise SpecError(
                f"{where} has at most {MOST_CELLS} cells, but its factors make {n}.",
                "Take fewer levels, or fractional-factorial.",
            )

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:  # noqa: ARG002 - all stands there
        names = [factor.name for factor in self.factors]
        return cells(
            self.factors,
            self.changes,
            [
                dict(zip(names, levels, strict=True))
                for levels in itertools.product(*(factor.levels for factor in self.factors))
            ],
        )


def cells(
    factors: tuple[Factor, ...], changes: Mapping[str, Any], combinations: list[dict[str, str]]
) -> tuple[Arm, ...]:
    """One arm for each combination of levels, named by them; by numbers where that would be too long a name."""
    whole = Arm(name="cell", changes=changes)
    names = [".".join(f.cell(levels[f.name]) for f in factors) for levels in combinations]
    if max(map(len, names)) > LONGEST:
        names = [f"cell-{i}" for i in range(len(names))]
    return tuple(cell(name, whole, factors, levels) for name, levels in zip(names, combinations, strict=True))


def cell(
    name: str,
    arm: Arm,
    factors: tuple[Factor, ...],
    levels: Mapping[str, str],
    against: tuple[str, ...] | None = None,
) -> Arm:
    """An arm with these levels of all factors put into its changes."""
    changes = dict(arm.changes)
    for factor in factors:
        changes |= factor.levels[levels[factor.name]]
    return Arm(
        name=name, changes=changes, against=arm.against if against is None else against, levels=dict(levels)
    )
