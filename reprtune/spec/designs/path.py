"""An ablation path: from one configuration to another, in each stage the change that gains most is made for good.

*Notations*

    k          changes between start and end
    stage i    k - i + 1 candidates: what was reached, with one more change; the last stage's only one is the end
    arms       1 + k (k + 1) / 2 at most, with start and end

Source: Fawcett and Hoos 2016, Analysing differences between algorithm configurations through ablation (J. Heuristics
22, doi 10.1007/s10732-014-9275-9), ablation analysis without racing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.codec import Tagged, digest, from_plain, read_fields, to_plain
from reprtune.spec.decisions import LEADER
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Design
from reprtune.spec.designs.differences import Changes, as_changes, check_together, differences, read_together
from reprtune.spec.designs.ways import Ways
from reprtune.spec.edit import changed
from reprtune.spec.names import LONGEST
from reprtune.spec.trial import TrialSpec

MOST_CHANGES = 10  # 56 arms
LONGEST_START = 60  # characters: names of arms hold it
PART = "--"  # between the start's name and the changes in the name of an arm


@dataclass(frozen=True, kw_only=True)
class Path(Design, Tagged):
    """From one arm to another by single changes, of which the results choose the order.

    Start and end are trained first; then in each stage every change that is left, by itself, from what was reached. The
    one with the lowest validation error stays.

    Attributes:
        start: the arm that it begins from. end: where it leads; or `leader`, the best of the study's search, once
            that is finished.
        together: groups of paths of the trial specification that change in one step; all others do so by themselves.
    """

    kind: ClassVar[str] = "path"
    line: ClassVar[str] = "from one arm to another by single changes, the one that gains most first"
    is_adaptive: ClassVar[bool] = True
    start: Arm
    end: Arm | str
    together: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "together", read_together("together", self.together))

    def plain(self) -> dict[str, Any]:
        plain = {"kind": self.kind, "start": to_plain(self.start), "end": to_plain(self.end)}
        return plain | ({"together": to_plain(self.together)} if self.together else {})

    @classmethod
    def read(cls, plain: Any, path: str) -> Any:
        if isinstance(plain, Mapping) and isinstance(end := plain.get("end"), Mapping):
            plain = {**plain, "end": from_plain(Arm, end, f"{path}.end")}
        if isinstance(plain, Mapping):
            plain = {name: value for name, value in plain.items() if name != "kind"}
        return read_fields(_Fields, plain, path).made()

    def check(self, where: str) -> None:
        if not isinstance(self.end, Arm) and self.end != LEADER:
            raise SpecError(
                f"{where}.end must be an arm or {LEADER!r}, the best of the search, but got {self.end!r}."
            )
        if len(self.start.name) > LONGEST_START:
            raise SpecError(
                f"{where}.start must have a name of at most {LONGEST_START} characters, which the names of its steps begin "
                f"with, but it has {len(self.start.name)}.",
                "Choose a shorter one.",
            )

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:
        """Start and end; what is between them is found from results."""
        if not isinstance(self.end, Arm):
            return (self.start,)
        ours, theirs = self.end.budget(base), self.start.budget(base)
        if self.end.against or (ours.unit == theirs.unit and ours.value > theirs.value):
            return (self.start, self.end)
        return (self.start, replace(self.end, against=(self.start.name,)))

    def planned(self, base: TrialSpec) -> int:
        k = len(self.changes(base)) if isinstance(self.end, Arm) else MOST_CHANGES
        return 1 + k * (k + 1) // 2

    # -- changes ------------------------------------------------------------------------------------

    def changes(self, base: TrialSpec, end: Mapping[str, Any] | None = None) -> Changes:
        """Name of each change -> what it changes.

        Args:
            end: what the end changes in the base, where that is not an arm of its own.
        """
        if end is None:
            assert isinstance(self.end, Arm)
            end = self.end.changes
        return as_changes(differences(changed(base, self.start.changes), changed(base, end)), self.together)

    def ways(self, base: TrialSpec, end: Mapping[str, Any] | None = None, steps: int | None = None) -> Ways:
        """From start to end; `steps` per epoch, where they are known."""
        return Ways(changed(base, self.start.changes), self.changes(base, end), steps)

    def step(self, taken: Collection[str], ways: Ways, base: TrialSpec) -> Arm:
        """What is trained with these changes, under a name of its own."""
        names = [name for name in ways.changes if name in taken]
        trial = ways.trial(frozenset(names))
        return Arm(name=self.called(PART.join(names)), changes=differences(base, trial))

    def called(self, what: str) -> str:
        """The name of an arm between start and end."""
        name = f"{self.prefix}{what}"
        if len(name) <= LONGEST:
            return name
        return f"{name[: LONGEST - 17]}-{digest(what)[:16]}"

    @property
    def prefix(self) -> str:
        """What the names of all arms between start and end begin with."""
        return f"{self.start.name}{PART}"

    # -- checks -------------------------------------------------------------------------------------

    def check_in(self, where: str, base: TrialSpec) -> None:
        for arm in self.arms(base):
            if changed(base, arm.changes).branch is not None:
                raise SpecError(
                    f"{where} cannot have the branch {arm.name} at an end.", "Name the trial that it leaves."
                )
        if not isinstance(self.end, Arm):
            return
        start, end = (changed(base, arm.changes) for arm in (self.start, self.end))
        found = differences(start, end)
        if not found:
            raise SpecError(
                f"{where} finds no difference between {self.start.name} and {self.end.name}.",
                "Give the end some changes.",
            )
        check_together(f"{where}.together", self.together, list(found))
        self._check_number(where, list(as_changes(found, self.together)))
        self.ways(base).check(where)

    def _check_number(self, where: str, changes: Sequence[str]) -> None:
        if len(changes) > MOST_CHANGES:
            raise SpecError(
                f"{where} must have at most {MOST_CHANGES} changes, but there may be {len(changes)}: {', '.join(changes)}.",
                "Say in `together` which of them move together.",
            )

    def check_study(
        self, where: str, base: TrialSpec, names: Sequence[str], searched: Collection[str] | None
    ) -> None:
        own = [self.start.name, *([self.end.name] if isinstance(self.end, Arm) else [])]
        for name in names:
            if name.startswith(self.prefix) and name not in own:
                raise SpecError(
                    f"The arm {name} cannot begin with {self.prefix!r}: so the steps of {where} are named.",
                    "Choose another name.",
                )
        if isinstance(self.end, Arm):
            return
        if searched is None:
            raise SpecError(
                f"{where}.end is {LEADER}, the best of the search, but the study has no search.",
                "Name an arm as its end, or add a Search.",
            )
        may_differ = {**differences(changed(base, self.start.changes), base), **dict.fromkeys(searched)}
        self._check_number(where, list(as_changes(may_differ, self.together)))

    def check_steps(
        self, where: str, base: TrialSpec, steps: int, drawn: Collection[Mapping[str, Any]]
    ) -> None:
        ends = [None] if isinstance(self.end, Arm) else list(drawn)
        for end in ends:
            self.ways(base, end, steps).check(where)


@dataclass(frozen=True, kw_only=True)
class _Fields:
    """As it is stored."""

    start: Arm
    end: Any
    together: tuple[tuple[str, ...], ...] = ()

    def made(self) -> Path:
        return Path(start=self.start, end=self.end, together=self.together)
