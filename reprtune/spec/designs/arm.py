"""An arm: a configuration with a name, and what it is compared with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.codec import Tagged, read_fields, to_plain
from reprtune.spec.decisions import LEADER
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed, with_full_paths
from reprtune.spec.names import check_name
from reprtune.spec.trial import TrialSpec

BASELINE = "standard"  # the arm that others are compared with where they name none


@dataclass(frozen=True, kw_only=True)
class Arm(Tagged):
    """A named configuration: the base trial with some fields changed (path -> plain value).

    Attributes:
        against: names of the arms that it is compared with, the most telling first; none = `standard`.
        levels: factor -> its level here, where a design made the arm of factors; then none = no arm.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: tuple[str, ...] = ()
    levels: Mapping[str, str] = field(default_factory=dict)

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
        """As JSON values; `against` and `levels` only where they say something, as in studies of before there were
        such fields."""
        plain = {"name": self.name, "changes": to_plain(self.changes)}
        more = {"against": list(self.against), "levels": dict(self.levels)}
        return plain | {key: value for key, value in more.items() if value}

    @classmethod
    def read(cls, plain: Any, path: str) -> Any:
        """An arm from what `plain` returned."""
        return read_fields(cls, plain, path)

    def controls(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the arms that it is compared with; `default` where it names none and is not one of factors."""
        return self.against or (() if self.levels else default)

    def budget(self, base: TrialSpec) -> Duration:
        """Length of the training of all its networks, one after another."""
        trial = changed(base, self.changes).after
        total = trial.training.total
        return Duration(total.value * trial.method.n_members, total.unit)
