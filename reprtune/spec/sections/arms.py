"""Arms: the configurations of a design, each trained with every seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.codec import Tagged, read_fields, to_plain
from reprtune.spec.designs.add_one_in import AddOneIn
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import check_arms
from reprtune.spec.designs.factorial import FullFactorial, OneAtATime
from reprtune.spec.designs.fractional import FractionalFactorial
from reprtune.spec.designs.leave_one_out import LeaveOneOut
from reprtune.spec.designs.named import NamedArms
from reprtune.spec.designs.path import Path
from reprtune.spec.edit import changed
from reprtune.spec.retime import Retime
from reprtune.spec.rules import at_least, at_most
from reprtune.spec.sections.section import MAX_SEEDS, Section, check_seeds
from reprtune.spec.sections.tune import FIRST_SEED, Tune, is_try
from reprtune.spec.trial import TrialSpec

# A further design joins this union.
Design = NamedArms | LeaveOneOut | AddOneIn | OneAtATime | FullFactorial | FractionalFactorial | Path
FOR_ALL = ("seeds", "until")  # fields that may be set for all arms of a study at once


@dataclass(frozen=True, kw_only=True)
class Until:
    """Seeds where they decide: further ones, in groups, for the comparisons that are still open.

    Attributes:
        most: seeds that an arm has at most.
        group: so many are added at a time.
        width: a comparison whose interval is at most so wide, in error, is closed too; None = only a decision closes it.
    """

    most: int
    group: int = 2
    width: float | None = None

    def __post_init__(self) -> None:
        at_least("until.most", self.most, 3)
        at_most("until.most", self.most, MAX_SEEDS)
        at_least("until.group", self.group, 1)
        if self.width is not None and not 0 < self.width < 1:
            raise SpecError(
                f"until.width must be an error between 0 and 1, but got {self.width}.",
                "0.01 is one percentage point, from end to end.",
            )

    def looks(self, n: int) -> tuple[int, ...]:
        """After how many seeds it is looked, where `n` were declared."""
        return (*range(n, self.most, self.group), self.most)


@dataclass(frozen=True, kw_only=True)
class Arms(Section, Tagged):
    """Arms that are compared with each other, or that a search is compared with.

    Attributes:
        design: which arms there are; `named(Arm(...), Arm(...))`, or a plain list of them.
        seeds: every arm is trained with each; also how many, from 0 on. All arms have the same ones, so that
            differences are paired.
        until: when more seeds are added; None = never.
        tune: how each arm is tuned before it is trained with the seeds; None = it stays as it is declared.
    """

    kind: ClassVar[str] = "arms"
    line: ClassVar[str] = "named configurations, each trained with every seed, measured on the test part"
    measures_test: ClassVar[bool] = (
        True  # nothing is chosen among arms: they were declared before anything ran
    )
    name: str = "arms"
    design: Design
    seeds: tuple[int, ...] = (0, 1, 2)
    until: Until | None = None
    tune: Tune | None = None

    def __post_init__(self) -> None:
        given: Any = self.seeds
        if type(given) is int:
            object.__setattr__(self, "seeds", _counted(f"{self.name}.seeds", given))
        if isinstance(self.design, (list, tuple)):
            object.__setattr__(self, "design", NamedArms(list=tuple(self.design)))
        super().__post_init__()

    def check(self) -> None:
        self.design.check(f"{self.name}.design")
        check_seeds(f"{self.name}.seeds", self.seeds)
        if self.until is not None and not 3 <= len(self.seeds) < self.until.most:
            raise SpecError(
                f"{self.name}.until.most must be above the number of seeds, which must be 3 or more for an interval, but "
                f"they are {self.until.most} and {len(self.seeds)}.",
                "Begin with 3 seeds, and allow 9 or more.",
            )
        if self.until is not None and self.design.is_adaptive:
            raise SpecError(
                f"{self.name}.until cannot be set with the design {self.design.kind}, whose results decide which arms there "
                "are, with the same seeds for all.",
                f"Leave {self.name}.until out, and give more seeds.",
            )
        if self.until is not None and self.design.is_factorial:
            raise SpecError(
                f"{self.name}.until cannot be set with the design {self.design.kind}, whose effects are means over all cells: "
                "they need the same seeds for all.",
                f"Leave {self.name}.until out, and give more seeds.",
            )
        if self.tune is not None:
            self._check_tune(self.tune)

    def _check_tune(self, tune: Tune) -> None:
        tune.check(f"{self.name}.tune")
        if self.design.is_adaptive:
            raise SpecError(
                f"{self.name}.tune cannot be set with the design {self.design.kind}, whose results decide which arms there "
                "are.",
                f"Leave {self.name}.tune out, or name the arms.",
            )
        if max(self.all_seeds) >= FIRST_SEED:
            raise SpecError(
                f"{self.name}.seeds must be below {FIRST_SEED} where arms are tuned, but got {max(self.all_seeds)}.",
                "Those from there on are for tries.",
            )

    def check_in(self, base: TrialSpec) -> None:
        arms = self.arms(base)
        check_arms(f"{self.name}.design", arms)
        for arm in arms:
            changed(base, arm.changes)
        self.design.check_in(f"{self.name}.design", base)
        if self.tune is not None:
            self.tune.check_in(f"{self.name}.tune", arms, base)

    def plain(self) -> dict[str, Any]:
        """As JSON values; `until` and `tune` only where they say something, as in studies of before there were such
        fields."""
        plain = {
            "kind": self.kind,
            "name": self.name,
            "design": to_plain(self.design),
            "seeds": list(self.seeds),
        }
        more = {"until": self.until, "tune": self.tune}
        return plain | {name: to_plain(value) for name, value in more.items() if value is not None}

    @classmethod
    def read(cls, plain: Any, path: str) -> Any:
        """A section from what `plain` returned; `seeds` may be their number."""
        if not isinstance(plain, Mapping):
            return read_fields(cls, plain, path)
        plain = {name: value for name, value in plain.items() if name != "kind"}
        if type(plain.get("seeds")) is int:
            plain = plain | {"seeds": _counted(f"{path}.seeds", plain["seeds"])}
        return read_fields(cls, plain, path)

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:
        """The arms of its design."""
        return self.design.arms(base)

    def cells(self, base: TrialSpec) -> list[tuple[Arm, int]]:
        """Every arm with every seed, arm by arm: seeds differ from the first step, arms later."""
        return [(arm, seed) for arm in self.arms(base) for seed in self.seeds]

    def tries(self, base: TrialSpec, steps: int | None = None) -> list[tuple[Arm, int]]:
        """Every try with each of its seeds, by which arms are tuned: the first of all arms, then the second. `steps` per
        epoch, where they are known."""
        if self.tune is None:
            return []
        tried = zip(*(self.tune.tried(arm, base, steps) for arm in self.arms(base)), strict=True)
        return [(one, seed) for of_all in tried for seed in self.tune.all_seeds for one in of_all]

    def is_try(self, arm: str | None) -> bool:
        return self.tune is not None and arm is not None and is_try(arm)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Its seeds, and those that may be added, in their order: the next free ones."""
        if self.until is None:
            return self.seeds
        first, n = max(self.seeds) + 1, self.until.most - len(self.seeds)
        return (*self.seeds, *range(first, first + n))

    def planned(self, base: TrialSpec, n_arms: int) -> int:  # noqa: ARG002 - only a confirmation trains the arms of others
        tries = 0 if self.tune is None else self.tune.runs
        return self.design.planned(base) * (len(self.all_seeds) + tries)

    def extended(self, seeds: Sequence[int]) -> Any:
        if self.until is not None:  # further looks: the first ones stay as they were
            return replace(self, until=replace(self.until, most=self.until.most + len(seeds)))
        return replace(self, seeds=(*self.seeds, *seeds))

    def declared_seeds(self, base: TrialSpec) -> Sequence[int]:  # noqa: ARG002 - it names them itself
        return self.all_seeds if self.tune is None else (*self.all_seeds, *self.tune.all_seeds)

    def retimed(self, plain: dict[str, Any], retime: Retime) -> None:
        self.design.retimed(plain["design"], retime)
        if self.tune is not None:
            retime.space(plain["tune"]["space"], self.tune.space)


def _counted(where: str, n: int) -> tuple[int, ...]:
    """The seeds from 0 on."""
    at_least(where, n, 1)
    at_most(where, n, MAX_SEEDS)
    return tuple(range(n))


def check_same_seeds(arm: str, control: str, sections: Sequence[Arms], base: TrialSpec) -> None:
    """Raise SpecError unless two arms that are held against each other get the same seeds where seeds are added."""
    of = {one.name: section for section in sections for one in section.arms(base)}
    ours, theirs = of.get(arm), of.get(control)
    if ours is None or theirs is None or not (ours.until or theirs.until):
        return
    if (ours.seeds, ours.until) != (theirs.seeds, theirs.until):
        raise SpecError(
            f"{arm} of {ours.name} is compared with {control} of {theirs.name}, but they do not get the same seeds.",
            "Give both sections the same seeds and until, or put their arms into one.",
        )
