"""Arms: named configurations, each trained with every seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.codec import Tagged, read_fields, to_plain
from reprtune.spec.decisions import LEADER
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed, with_full_paths
from reprtune.spec.names import check_name
from reprtune.spec.sections.section import Retime, Section, check_seeds
from reprtune.spec.trial import TrialSpec

BASELINE = "standard"  # the arm that others are compared with where they name none


@dataclass(frozen=True, kw_only=True)
class Arm(Tagged):
    """A named configuration: the base trial with some fields changed (path -> plain value).

    Attributes:
        against: names of the arms that it is compared with, the most telling first; none = `standard`.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "against", tuple(self.against))
        object.__setattr__(self, "changes", with_full_paths(self.changes))
        check_name(self.name)
        if re.fullmatch(r"slot-\d+", self.name):
            raise SpecError(
                f"An arm cannot be named {self.name!r}: so a confirmation names the leaders of the search.",
                "Choose another name.",
            )
        if self.name == LEADER:
            raise SpecError(
                f"An arm cannot be named {self.name!r}: so a rule names the best of the search.",
                "Choose another name.",
            )

    def plain(self) -> dict[str, Any]:
        """As JSON values; `against` only where it says something, as in studies of before there was such a field."""
        plain = {"name": self.name, "changes": to_plain(self.changes)}
        return plain | ({"against": list(self.against)} if self.against else {})

    @classmethod
    def read(cls, plain: Any, path: str) -> Any:
        """An arm from what `plain` returned."""
        return read_fields(cls, plain, path)

    def budget(self, base: TrialSpec) -> Duration:
        """Length of the training of all its networks, one after another."""
        trial = changed(base, self.changes)
        total = trial.training.total
        return Duration(total.value * trial.method.n_members, total.unit)


@dataclass(frozen=True, kw_only=True)
class NamedArms:
    """The design that is a list of arms."""

    kind: ClassVar[str] = "named"
    list: tuple[Arm, ...]

    def arms(self) -> tuple[Arm, ...]:
        """What the design compares, in the order in which it is trained."""
        return self.list

    def retimed(self, plain: dict[str, Any], retime: Retime) -> None:
        """Scale every length in the design's plain form to another total, in place."""
        for arm in plain["list"]:
            retime.changes(arm["changes"])
            if (total := arm["changes"].get("training.total")) is not None:
                arm["changes"]["training.total"] = retime("training.total", total)


Design = NamedArms  # a further design joins this union; one that answers from the record, study/sections/arms.py too


def named(*arms: Arm) -> NamedArms:
    """The design that is a list of these arms."""
    return NamedArms(list=arms)


@dataclass(frozen=True, kw_only=True)
class Arms(Section):
    """Arms that are compared with each other, or that a search is compared with.

    Attributes:
        design: which arms there are; `named(Arm(...), Arm(...))`, or a plain list of them.
        seeds: every arm is trained with each. All arms have the same ones, so that differences are paired.
    """

    kind: ClassVar[str] = "arms"
    line: ClassVar[str] = "named configurations, each trained with every seed, measured on the test part"
    measures_test: ClassVar[bool] = (
        True  # nothing is chosen among arms: they were declared before anything ran
    )
    name: str = "arms"
    design: Design
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        if isinstance(self.design, (list, tuple)):
            object.__setattr__(self, "design", NamedArms(list=tuple(self.design)))
        super().__post_init__()

    def check(self) -> None:
        names = [arm.name for arm in self.arms()]
        if not names:
            raise SpecError(f"{self.name}.design must hold at least one arm, but is empty.")
        if len(set(names)) != len(names):
            raise SpecError(f"Arms need different names, but got {names}.")
        check_seeds(f"{self.name}.seeds", self.seeds)

    def check_in(self, base: TrialSpec) -> None:
        for arm in self.arms():
            changed(base, arm.changes)

    def arms(self) -> tuple[Arm, ...]:
        """The arms of its design."""
        return self.design.arms()

    def cells(self) -> list[tuple[Arm, int]]:
        """Every arm with every seed, arm by arm: seeds differ from the first step, arms later."""
        return [(arm, seed) for arm in self.arms() for seed in self.seeds]

    def planned(self, n_arms: int) -> int:  # noqa: ARG002 - only a confirmation trains the arms of others
        return len(self.arms()) * len(self.seeds)

    def extended(self, seeds: Sequence[int]) -> Any:
        return replace(self, seeds=(*self.seeds, *seeds))

    def declared_seeds(self, base: TrialSpec) -> Sequence[int]:  # noqa: ARG002 - it names them itself
        return self.seeds

    def retimed(self, plain: dict[str, Any], retime: Retime) -> None:
        self.design.retimed(plain["design"], retime)
