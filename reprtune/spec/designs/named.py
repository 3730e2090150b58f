"""The design that is a list of arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Design, check_arms
from reprtune.spec.trial import TrialSpec


@dataclass(frozen=True, kw_only=True)
class NamedArms(Design):
    """The design that is a list of arms."""

    kind: ClassVar[str] = "named"
    line: ClassVar[str] = "a list of arms"
    list: tuple[Arm, ...]

    def check(self, where: str) -> None:
        check_arms(where, self.list)

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:  # noqa: ARG002 - they stand there
        return self.list


def named(*arms: Arm) -> NamedArms:
    """The design that is a list of these arms."""
    return NamedArms(list=arms)
