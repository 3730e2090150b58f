"""What every design is: the arms that a comparison has, from the trial that its study begins from."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.codec import Tagged, read_fields, shown, to_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.edit import with_full_paths
from reprtune.spec.names import check_name
from reprtune.spec.retime import Retime
from reprtune.spec.trial import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Factor(Tagged):
    """What is varied, and how: several fields may move together.

    Stored tables are in the order of their names; which level comes first is kept beside them.

    Attributes:
        name: of the factor. levels: name of a level -> path of the trial specification -> plain value. The first is
            the baseline's.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.levels) < 2:
            raise SpecError(
                f"Factor {self.name} needs two levels or more, but has {len(self.levels)}.",
                'Write {"with": {...}, "without": {...}}; the first is the baseline\'s.',
            )
        for level in self.levels:
            check_name(level)
        levels = {level: with_full_paths(changes) for level, changes in self.levels.items()}
        object.__setattr__(self, "levels", levels)

    def plain(self) -> dict[str, Any]:
        """As JSON values; `order` only where it is not that of the names of the levels."""
        plain = {"name": self.name, "levels": to_plain(self.levels)}
        order = list(self.levels)
        return plain if order == sorted(order) else plain | {"order": order}

    @classmethod
    def read(cls, plain: Any, path: str) -> Any:
        """A factor from what `plain` returned; a level that `order` does not name was added, and comes last."""
        if not isinstance(plain, Mapping) or "order" not in plain:
            return read_fields(cls, plain, path)
        levels, order = plain.get("levels"), plain["order"]
        if not isinstance(levels, Mapping) or not isinstance(order, list):
            raise SpecError(
                f"{path}.order must list the names of levels, the baseline's first, but got {shown(order)}."
            )
        names = dict.fromkeys([*(name for name in order if name in levels), *levels])
        rest = {name: value for name, value in plain.items() if name != "order"}
        return read_fields(cls, rest | {"levels": {name: levels[name] for name in names}}, path)

    @property
    def first(self) -> str:
        """The baseline's level."""
        return next(iter(self.levels))

    @property
    def others(self) -> tuple[str, ...]:
        """All levels but the baseline's."""
        return tuple(self.levels)[1:]

    def cell(self, level: str) -> str:
        """What an arm at that level is called by."""
        return f"{self.name}-{level}"


@dataclass(frozen=True, kw_only=True)
class Design(abc.ABC):
    """Which arms there are.

    Attributes:
        kind: its kind in stored studies. line: what it is.
        is_factorial: are its arms cells of factors, so that a factor's effect is a mean over all others?
        is_adaptive: do results decide which arms there are beside those that are declared?
    """

    kind: ClassVar[str]
    line: ClassVar[str]
    is_factorial: ClassVar[bool] = False
    is_adaptive: ClassVar[bool] = False

    @abc.abstractmethod
    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:
        """What is declared before anything runs, in the order in which it is trained; `base`: of the study.

        Raises:
            SpecError: an arm is no trial.
        """

    def check(self, where: str) -> None:  # noqa: B027 - most have nothing to check
        """Raise SpecError where a field breaks its rule, whatever the study around it; `where` it stands."""

    def check_in(self, where: str, base: TrialSpec) -> None:  # noqa: B027 - as above
        """Raise SpecError where it does not go with the trial that its study begins from."""

    def check_study(  # noqa: B027 - as above
        self, where: str, base: TrialSpec, names: Sequence[str], searched: Collection[str] | None
    ) -> None:
        """Raise SpecError where it does not go with the arms of its study, `names`, and with its search, which varies the
        paths `searched`; None = there is none."""

    def check_steps(  # noqa: B027 - as above
        self, where: str, base: TrialSpec, steps: int, drawn: Collection[Mapping[str, Any]]
    ) -> None:
        """Raise SpecError where what it may train does not fit its total, with so many steps per epoch.

        Args:
            drawn: some of what the search may draw, as changes of the base.
        """

    @property
    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Term, a factor or an interaction of two, `criterion:restore` -> the others that its arms cannot tell from it."""
        return {}

    def planned(self, base: TrialSpec) -> int:
        """How many arms it will have at most."""
        return len(self.arms(base))

    def retimed(self, plain: dict[str, Any], retime: Retime) -> None:
        """Scale every length in the design's plain form to another total, in place."""
        _retime(plain, retime)


def _retime(node: Any, retime: Retime) -> None:
    """Wherever changes of a trial stand."""
    if isinstance(node, list):
        for inner in node:
            _retime(inner, retime)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "levels":
            for changes in value.values():
                _retime_changes(changes, retime)
        elif key == "changes":
            _retime_changes(value, retime)
        else:
            _retime(value, retime)


def _retime_changes(changes: Any, retime: Retime) -> None:
    if not isinstance(changes, dict):
        return
    retime.changes(changes)
    if (total := changes.get("training.total")) is not None:
        changes["training.total"] = retime("training.total", total)


def check_factors(where: str, factors: tuple[Factor, ...], fewest: int = 1) -> None:
    """Raise SpecError unless there are enough factors, of different names."""
    names = [factor.name for factor in factors]
    if len(names) < fewest:
        raise SpecError(
            f"{where}.factors must be {fewest} or more, but got {len(names)}.",
            'Write Factor(name="restore", levels={"orthogonal": {}, "random": {"method.restore": "random"}}).',
        )
    if len(set(names)) != len(names):
        raise SpecError(f"{where}.factors must have different names, but got {names}.")


def check_arms(where: str, arms: tuple[Arm, ...]) -> None:
    """Raise SpecError unless there are arms, of different names."""
    names = [arm.name for arm in arms]
    if not names:
        raise SpecError(f"{where} must hold at least one arm, but is empty.")
    if len(set(names)) != len(names):
        raise SpecError(f"Arms need different names, but got {names}.")
