"""The search: trials whose settings a sampler draws from a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.draws import Draws
from reprtune.spec.edit import changed, with_full_paths
from reprtune.spec.objectives import COST, ERROR, OBJECTIVES
from reprtune.spec.parts.places import short_path
from reprtune.spec.retime import Retime
from reprtune.spec.rules import at_least, at_most, one_of
from reprtune.spec.sections.section import MAX_SEEDS, Section
from reprtune.spec.space import Range
from reprtune.spec.stop_rules import Median, StopRule
from reprtune.spec.trial import TrialSpec

SAMPLERS = {
    "tpe": "tree-structured Parzen estimator; learns from every trial, milliseconds per draw",
    "random": "independent uniform draws",
    "qmc": "Sobol's sequence, which covers the space, choices too, more evenly than random draws",
    "nsga2": "the genetic algorithm NSGA-II, for several objectives and many slots (populations of a quarter of them, 4 to 50); learns from complete trials",
    "gp": "Gaussian process; for few slots, seconds per draw; learns from complete trials",
}
MAX_SLOTS = 100_000  # each slot is a row of the database, queued at create


@dataclass(frozen=True, kw_only=True)
class Search(Section):
    """A search over a space.

    Attributes:
        space: path of the trial specification -> range.
        objectives: one or several of `OBJECTIVES`, all minimised; over several seeds, their means.
        sampler: a name of `SAMPLERS`. seed: of the sampler; the trials' own seeds begin at `base.seed`.
        stop: the early-stopping rule; also its name alone.
        slots: how many trials it has, exactly.
        seeds: how many seeds a trial is trained with, one after another: `base.seed`, the next, and so on; the
            rungs of one seed are compared with those of the same seed.
        max_seconds, max_gflops: it begins no trial once its trainings have taken so much, added up over workers,
            and ends those that run at their next segment; None = no such limit.
    """

    kind: ClassVar[str] = "search"
    line: ClassVar[str] = "trials whose settings a sampler draws from a space"
    is_drawn: ClassVar[bool] = True
    name: str = "search"
    space: Mapping[str, Range] = field(default_factory=dict)
    objectives: tuple[str, ...] = (ERROR, COST)  # type: ignore[misc]  # chosen here
    sampler: str = "tpe"
    stop: StopRule = field(default_factory=Median)  # type: ignore[misc]  # chosen here
    slots: int = 32
    seeds: int = 1
    max_seconds: float | None = None
    max_gflops: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", with_full_paths(self.space))
        object.__setattr__(self, "stop", StopRule.read(self.stop, "stop"))
        super().__post_init__()

    def check(self) -> None:
        at_least("slots", self.slots, 1)
        at_most("slots", self.slots, MAX_SLOTS)
        at_least("seeds", self.seeds, 1)
        at_most("seeds", self.seeds, MAX_SEEDS)
        at_least("seed", self.seed, 0)
        if not self.space:
            raise SpecError(
                "space must name at least one field to vary, but is empty.",
                "A study that compares arms needs no search: leave it out.",
            )
        for limit in ("max_seconds", "max_gflops"):
            if (value := getattr(self, limit)) is not None and value <= 0:
                raise SpecError(f"{limit} must be above 0, but got {value}.", "Leave it out for no limit.")
        one_of("sampler", self.sampler, SAMPLERS)
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise SpecError(
                f"objectives must be one or more different names, but got {list(self.objectives)}."
            )
        for objective in self.objectives:
            one_of("objective", objective, OBJECTIVES)
        self._check_stop()

    def _check_stop(self) -> None:
        """A rule would stop the best trials of an objective that it does not weigh."""
        unweighed = [name for name in self.objectives if name not in (ERROR, COST)]
        if unweighed and self.stop.stops:
            raise SpecError(
                f"stop = {self.stop.kind} weighs {ERROR} at rungs and the planned {COST}, but not "
                f"{', '.join(unweighed)}.",
                "Set stop to none.",
            )

    def check_in(self, base: TrialSpec) -> None:
        if "seed" in self.space:
            raise SpecError(
                "space cannot hold seed: a seed is no setting.", "Set seeds to train each trial with several."
            )
        draws = Draws(base, self.space)
        if draws.dependent and self.sampler == "qmc":
            raise SpecError(
                f"sampler qmc needs a space in which every parameter always exists, but {', '.join(draws.dependent)} "
                f"only with some {' or '.join(draws.choices)}.",
                "Take tpe, random, nsga2 or gp.",
            )
        for path, range_ in self.space.items():
            for value in range_.ends():
                check_value(base, draws, path, value)

    @property
    def stops_early(self) -> bool:
        """Does a rule judge trials at their rungs? They are told apart by their errors there."""
        return self.stop.stops and ERROR in self.objectives

    @property
    def is_limited(self) -> bool:
        """Has it a budget of seconds or GFLOPs?"""
        return self.max_seconds is not None or self.max_gflops is not None

    def is_over_budget(self, seconds: float, gflops: float) -> bool:
        """Whether the search, having spent so much, is to begin no other trial."""
        spent = ((seconds, self.max_seconds), (gflops, self.max_gflops))
        return any(limit is not None and amount >= limit for amount, limit in spent)

    def trial_seeds(self, first: int) -> tuple[int, ...]:
        return tuple(range(first, first + self.seeds))

    def planned(self, base: TrialSpec, n_arms: int) -> int:  # noqa: ARG002 - its trials have no arm
        return self.slots

    def declared_seeds(self, base: TrialSpec) -> Sequence[int]:
        return self.trial_seeds(base.seed)

    def retimed(self, plain: dict[str, Any], retime: Retime) -> None:
        retime.space(plain["space"], self.space)


def check_value(base: TrialSpec, draws: Draws, path: str, value: Any) -> None:
    """Raise SpecError where a value of the space goes with none of the methods that may hold it."""
    if (path, value) == ("method.schedule.cycles", 0):
        raise SpecError(
            "space cannot let method.cycles be 0: without cycles the other options do nothing.",
            'Let it choose whole methods: "method": Choice(options=("standard", "repr")).',
        )
    holders = draws.holders(path)
    if not holders:
        raise SpecError(
            f"space cannot vary {short_path(path)}, which none of its {' or '.join(draws.choices)} has.",
            "Leave it out, or let it choose one that has it.",
        )
    errors = []
    for chosen in holders:
        try:
            changed(base, {**chosen, path: value})
        except SpecError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
