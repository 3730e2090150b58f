"""Add-one-in: a method with all its ideas taken away, and the same with one of them put back at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Design
from reprtune.spec.designs.leave_one_out import ideas
from reprtune.spec.designs.nulls import Null
from reprtune.spec.edit import changed
from reprtune.spec.trial import TrialSpec

BARE = "bare"


@dataclass(frozen=True, kw_only=True)
class AddOneIn(Design):
    """The arm `bare`, in which every idea of a method is at its declared null at once; one arm for each idea, `bare`
    with that alone as the method has it; and the method itself.

    Each is compared with `bare`: where it has the lower error, that idea helps by itself.

    Attributes:
        arm: the whole; what it names in `against` it is compared with too.
        without: places and options that stay as the method has them throughout.
    """

    kind: ClassVar[str] = "add-one-in"
    line: ClassVar[str] = "a method without any of its parts' ideas, and with one of them at a time"
    arm: Arm
    without: tuple[str, ...] = ()

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:
        first: dict[str, Null] = {}  # of several nulls of a place the first
        for null in ideas(self.arm, base, self.without):
            first.setdefault(null.factor, null)
        if not first:
            raise SpecError(
                f"add-one-in finds no idea in {self.arm.name} to add.", "Take an arm with a method."
            )
        bare = Arm(
            name=BARE, changes=self._taken(base, first.values(), ""), levels=dict.fromkeys(first, "null")
        )
        added = [
            Arm(
                name=f"with-{factor}",
                changes=self._taken(base, first.values(), factor),
                against=(BARE,),
                levels={name: "whole" if name == factor else "null" for name in first},
            )
            for factor in first
        ]
        whole = Arm(name=self.arm.name, changes=self.arm.changes, against=(*self.arm.against, BARE))
        return (bare, *added, whole)

    def _taken(self, base: TrialSpec, taken: Collection[Null], but: str) -> dict[str, Any]:
        """The arm's changes with all ideas taken away but one."""
        changes = dict(self.arm.changes)
        for null in taken:
            if null.factor == but:
                continue
            for path in {*changes} - {*null.changes}:  # options that the part there now does not have
                if path in self.arm.changes:
                    del changes[path]
            changes |= {p: v for p, v in null.changes.items() if self.arm.changes.get(p, ...) != v}
        try:
            changed(base, changes)
        except SpecError as error:
            raise SpecError(
                f"add-one-in cannot take everything but {but or 'the schedule'} away from {self.arm.name}: {error}",
                "Name what has to stay in `without`.",
            ) from error
        return changes
