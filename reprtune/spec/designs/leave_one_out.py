"""Leave-one-out: a whole method, and the same without one of its ideas at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Design, Factor, check_factors
from reprtune.spec.designs.nulls import Null, nulls
from reprtune.spec.edit import changed
from reprtune.spec.trial import TrialSpec


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut(Design):
    """An arm, and beside it one arm for every idea of its method: the same with that at its declared null.

    The arm is compared with each of them: where it has the lower error, what was left out does its part.

    Attributes:
        arm: the whole; what it names in `against` it is compared with first.
        without: places and options whose null is not tried.
        factors: further ones, beside what the method declares: the first level is the arm's, the others do without it.
    """

    kind: ClassVar[str] = "leave-one-out"
    line: ClassVar[str] = "a method, and the same without one of its parts or options at a time"
    arm: Arm
    without: tuple[str, ...] = ()
    factors: tuple[Factor, ...] = ()

    def check(self, where: str) -> None:
        check_factors(where, self.factors, fewest=0)

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:
        left = left_out(self.arm, base, self.without, self.factors)
        names = (*self.arm.against, *(arm.name for arm in left))
        return (replace(self.arm, against=names, levels={}), *left)


def ideas(arm: Arm, base: TrialSpec, without: tuple[str, ...]) -> tuple[Null, ...]:
    """What can be taken away of an arm, but for the factors in `without`.

    Raises:
        SpecError: `without` names what the arm does not have, or nothing is left.
    """
    found = nulls(arm, base)
    known = list(dict.fromkeys(null.factor for null in found))
    for name in without:
        if name not in known:
            raise SpecError(
                f"without must name places or options that {arm.name} can be trained without, but got {name!r}.",
                did_you_mean(name, known),
            )
    return tuple(null for null in found if not null.refused and null.factor not in without)


def left_out(
    arm: Arm, base: TrialSpec, without: tuple[str, ...], factors: tuple[Factor, ...]
) -> tuple[Arm, ...]:
    """One arm for every idea that is left out, and every other level of a factor."""
    found = [
        Arm(name=f"{null.factor}-{null.level}", changes=null.changes, levels={null.factor: null.level})
        for null in ideas(arm, base, without)
    ]
    for factor in factors:
        whole = {**arm.changes, **factor.levels[factor.first]}
        if changed(base, whole) != changed(base, arm.changes):
            raise SpecError(
                f"The first level of factor {factor.name} must be what {arm.name} is, but {factor.first} changes it.",
                "Put the level that changes nothing first.",
            )
        found += [
            Arm(
                name=factor.cell(level),
                changes={**arm.changes, **factor.levels[level]},
                levels={factor.name: level},
            )
            for level in factor.others
        ]
    if not found:
        raise SpecError(
            f"leave-one-out finds nothing to leave out of {arm.name}.",
            "Take an arm with a method, such as repr, or give factors.",
        )
    return tuple(found)
