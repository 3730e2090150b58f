"""The confirmation: the leaders of the search and all arms again, on fresh seeds, measured on the test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from reprtune.spec.retime import Retime
from reprtune.spec.rules import at_least
from reprtune.spec.sections.section import Section, check_seeds
from reprtune.spec.trial import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Confirmation(Section):
    """What was selected on its validation error, measured without that selection.

    It has nothing to do until all sections before it are finished, for until then a leader may change.

    Attributes:
        top: so many leaders of the search: lowest validation error, different settings.
        slots: further slots of the search.
        seeds: fresh ones, with which neither the search nor an arm is trained before; the same for everything.
    """

    kind: ClassVar[str] = "confirmation"
    line: ClassVar[str] = "leaders of the search and all arms on fresh seeds, measured on the test part"
    measures_test: ClassVar[bool] = True
    name: str = "confirmation"
    top: int = 3
    slots: tuple[int, ...] = ()
    seeds: tuple[int, ...]

    def check(self) -> None:
        at_least(f"{self.name}.top", self.top, 0)
        for slot in self.slots:
            at_least(f"{self.name}.slots", slot, 0)
        check_seeds(f"{self.name}.seeds", self.seeds)

    def check_in(self, base: TrialSpec) -> None:
        """It trains what others have tried before it."""

    def retimed(self, plain: dict[str, Any], retime: Retime) -> None:
        """It has no lengths of its own."""

    def planned(self, base: TrialSpec, n_arms: int) -> int:  # noqa: ARG002 - of others
        return (n_arms + self.top + len(self.slots)) * len(self.seeds)

    def extended(self, seeds: Sequence[int]) -> Any:
        return replace(self, seeds=(*self.seeds, *seeds))

    def declared_seeds(self, base: TrialSpec) -> Sequence[int]:  # noqa: ARG002 - it names them itself
        return self.seeds
