"""What every section of a study is: a name, seeds, and what those who work on it have to know.

A section says *what* is to be done; which trials that means so far is answered from the record, by its file in
`reprtune.study.sections`. Nobody else asks of what kind a section is.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.names import check_name, role_of
from reprtune.spec.objectives import OF_ARMS
from reprtune.spec.retime import Retime
from reprtune.spec.rules import at_least
from reprtune.spec.stop_rules import NoStop, StopRule
from reprtune.spec.trial import TrialSpec

REPEATS_FROM = 1_000_000  # seeds from here on are for settings that a search has drawn before
MAX_SEEDS = 1_000


@dataclass(frozen=True, kw_only=True)
class Section(abc.ABC):
    """One kind of work in a study.

    Attributes:
        kind: its kind in stored studies. line: what it is.
        is_drawn: does a sampler draw what its trials are? Then it sees what becomes of them, what they spend counts
            against the budget, and they may be stopped early.
        measures_test: is the test part measured at the end of its trials?
        objectives: what Optuna is told of its complete trials. stop: the rule by which they are stopped early.
        name: of the section in its study, and in Optuna's storage.
    """

    kind: ClassVar[str]
    line: ClassVar[str]
    is_drawn: ClassVar[bool] = False
    measures_test: ClassVar[bool] = False
    objectives: ClassVar[tuple[str, ...]] = OF_ARMS
    stop: ClassVar[StopRule] = NoStop()
    name: str

    def __post_init__(self) -> None:
        check_name(self.name)
        if "." in self.name:
            raise SpecError(f"The name of a section holds no '.', but got {self.name!r}.")
        self.check()

    @abc.abstractmethod
    def check(self) -> None:
        """Raise SpecError where a field breaks its rule, whatever the study around it."""

    @abc.abstractmethod
    def check_in(self, base: TrialSpec) -> None:
        """Raise SpecError where the section does not go with the trial that its study begins from."""

    @property
    def role(self) -> str:
        """What one of its trials is, in MLflow and in the names of journals: `search`, `control`, `confirmation`."""
        return role_of(self.name)

    @property
    def stops_early(self) -> bool:
        """Does a rule judge its trials at their rungs?"""
        return False

    def is_try(self, arm: str | None) -> bool:  # noqa: ARG002 - most have none
        """Is a trial of that arm there to tune another one by? Then its test part is not measured."""
        return False

    def trial_seeds(self, first: int) -> tuple[int, ...]:
        """The seeds of one of its trials whose first seed is `first`."""
        return (first,)

    @abc.abstractmethod
    def planned(self, base: TrialSpec, n_arms: int) -> int:
        """How many trials it will have at most, where the study has `n_arms` arms."""

    @abc.abstractmethod
    def declared_seeds(self, base: TrialSpec) -> Sequence[int]:
        """Every seed that its value names; none of them is fresh for a confirmation."""

    def extended(self, seeds: Sequence[int]) -> Any:  # noqa: ARG002 - most have no use for them
        """The section with further seeds; None where it has as many as it was created with for good."""
        return None

    @abc.abstractmethod
    def retimed(self, plain: dict[str, Any], retime: Retime) -> None:
        """Scale every length in the section's plain form to another total, in place."""


def check_seeds(where: str, seeds: Sequence[int]) -> None:
    """Raise SpecError unless the seeds are different ones that are not kept for something else."""
    if not seeds:
        raise SpecError(f"{where} must hold at least one seed, but is empty.")
    if len(set(seeds)) != len(seeds):
        raise SpecError(f"{where} must differ, but got {list(seeds)}.")
    if len(seeds) > MAX_SEEDS:
        raise SpecError(f"{where} must be at most {MAX_SEEDS} seeds, but got {len(seeds)}.")
    for seed in seeds:
        at_least(where, seed, 0)
        if seed >= REPEATS_FROM:
            raise SpecError(
                f"{where} must be below {REPEATS_FROM}, but got {seed}.",
                "Those from there on are for settings that a search draws twice.",
            )
