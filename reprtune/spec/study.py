"""One question as one value: what is searched, from where, how it is judged, and against what."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reprtune.errors import SpecError
from reprtune.spec.draws import Draws
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.objectives import COST, ERROR, OBJECTIVES, compared
from reprtune.spec.parts.places import full_path, short_path
from reprtune.spec.rules import at_least, at_most, one_of
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range
from reprtune.spec.stop_rules import Median, StopRule
from reprtune.spec.trial import TrialSpec

SAMPLERS = {
    "tpe": "tree-structured Parzen estimator; learns from every trial, milliseconds per draw",
    "random": "independent uniform draws",
    "qmc": "Sobol's sequence, which covers the space, choices too, more evenly than random draws",
    "nsga2": "the genetic algorithm NSGA-II, for several objectives and many slots (populations of a quarter of them, 4 to 50); learns from complete trials",
    "gp": "Gaussian process; for few slots, seconds per draw; learns from complete trials",
}
T = TypeVar("T")
MIN_FITTING_SHARE = 0.2
MAX_SLOTS, MAX_SEEDS = 100_000, 1_000  # each slot is a row of the database, queued at create


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A named configuration: the base trial with some fields changed (path -> plain value)."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", _full(self.changes))


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """A search with its controls, or, without slots, a comparison of arms.

    Attributes:
        name: letters, digits, `-`, `_` and `.`.
        question: what it asks. decision: which result would change our mind. cost: what it takes.
        base: the trial whose fields the search varies.
        space: path of the trial specification -> range; empty without slots.
        objectives: one or several of `OBJECTIVES`, all minimised; over several seeds, their means.
        sampler: a name of `SAMPLERS`.
        stop: the early-stopping rule; also its name alone.
        slots: how many trials the search has, exactly; 0 = only the controls are trained.
        seeds: how many seeds a trial of the search is trained with, one after another: `base.seed`, the
            next, and so on; the rungs of one seed are compared with those of the same seed.
        max_seconds, max_gflops: the search begins no trial once its trainings have taken so much, added
            up over workers, and ends those that run at their next segment; None = no such limit.
        seed: seed of the sampler; the trials' own seeds begin at `base.seed`.
        controls: arms run beside the search, each with every seed of `control_seeds`.
    """

    name: str
    question: str
    decision: str
    cost: str
    base: TrialSpec = field(default_factory=TrialSpec)
    space: Mapping[str, Range] = field(default_factory=dict)
    objectives: tuple[str, ...] = (ERROR, COST)
    sampler: str = "tpe"
    stop: StopRule = field(default_factory=Median)
    slots: int = 32
    seeds: int = 1
    max_seconds: float | None = None
    max_gflops: float | None = None
    seed: int = 0
    controls: tuple[Arm, ...] = ()
    control_seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", _full(self.space))
        object.__setattr__(self, "stop", StopRule.read(self.stop, "stop"))
        check_name(self.name)
        at_least("slots", self.slots, 0)
        at_most("slots", self.slots, MAX_SLOTS)
        at_least("seeds", self.seeds, 1)
        at_most("seeds", self.seeds, MAX_SEEDS)
        at_least("seed", self.seed, 0)
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
        self._check_parts()
        self._check_space()
        self._check_controls()

    def _check_stop(self) -> None:
        """A rule would stop the best trials of an objective that it does not weigh."""
        unweighed = [name for name in self.objectives if name not in (ERROR, COST)]
        if unweighed and self.stop.stops:
            raise SpecError(
                f"stop = {self.stop.kind} weighs {ERROR} at rungs and the planned {COST}, but not "
                f"{', '.join(unweighed)}.",
                "Set stop to none.",
            )

    def _check_parts(self) -> None:
        """A search has a space, and a study has something to train."""
        if bool(self.space) != bool(self.slots):
            raise SpecError(
                f"A search has slots and a space, but slots is {self.slots} and space names {len(self.space)} fields.",
                "Give both, or neither for a comparison of controls.",
            )
        if not self.slots and not self.controls:
            raise SpecError("A study without slots needs controls, but has none.", "Give slots or controls.")
        if not self.slots and (self.max_seconds or self.max_gflops):
            raise SpecError(
                "max_seconds and max_gflops limit the search, but the study has none.", "Leave them out."
            )

    def _check_space(self) -> None:
        if "seed" in self.space:
            raise SpecError(
                "space cannot hold seed: a seed is no setting.", "Set seeds to train each trial with several."
            )
        if self.is_conditional and self.sampler == "qmc":
            raise SpecError(
                f"sampler qmc needs a space in which every parameter always exists, but {', '.join(self.draws.dependent)} "
                f"only with some {' or '.join(self.draws.choices)}.",
                "Take tpe, random, nsga2 or gp.",
            )
        for path, range_ in self.space.items():
            for value in range_.ends():
                self._check_value(path, value)

    def _check_value(self, path: str, value: Any) -> None:
        """Raise SpecError where a value of the space goes with none of the methods that may hold it."""
        if (path, value) == ("method.schedule.cycles", 0):
            raise SpecError(
                "space cannot let method.cycles be 0: without cycles the other options do nothing.",
                'Let it choose whole methods: "method": Choice(options=("standard", "repr")).',
            )
        holders = self.draws.holders(path)
        if not holders:
            raise SpecError(
                f"space cannot vary {short_path(path)}, which none of its {' or '.join(self.draws.choices)} has.",
                "Leave it out, or let it choose one that has it.",
            )
        errors = []
        for chosen in holders:
            try:
                changed(self.base, {**chosen, path: value})
            except SpecError as error:
                errors.append(error)
            else:
                return
        raise errors[0]

    def _check_controls(self) -> None:
        arms = [arm.name for arm in self.controls]
        if len(set(arms)) != len(arms):
            raise SpecError(f"Controls need different names, but got {arms}.")
        if self.controls and len(set(self.control_seeds)) != len(self.control_seeds):
            raise SpecError(f"control_seeds must differ, but got {list(self.control_seeds)}.")
        if self.controls and not self.control_seeds:
            raise SpecError(
                "control_seeds must hold at least one seed when there are controls, but is empty."
            )
        for arm in self.controls:
            check_name(arm.name)
            if re.fullmatch(r"slot-\d+", arm.name):
                raise SpecError(
                    f"A control cannot be named {arm.name!r}: so a confirmation names the leaders of the search.",
                    "Choose another name.",
                )
            changed(self.base, arm.changes)

    @functools.cached_property
    def draws(self) -> Draws:
        """What may be drawn from the space."""
        return Draws(self.base, self.space)

    @property
    def names(self) -> dict[str, str]:
        """Path of the space -> name in Optuna: its last words, one where that is enough."""
        return self.draws.names

    @property
    def compared(self) -> tuple[str, ...]:
        """What its trials are held against each other by."""
        return compared(self.objectives)

    @property
    def stops_early(self) -> bool:
        """Does a rule judge trials at their rungs? They are told apart by their errors there."""
        return self.stop.stops and ERROR in self.objectives

    @property
    def params(self) -> dict[str, Range]:
        """Name in Optuna -> range."""
        return {self.names[path]: range_ for path, range_ in self.space.items()}

    @property
    def is_conditional(self) -> bool:
        """Are there draws in which some parameter does not exist?"""
        return bool(self.draws.dependent)

    def draw(self, suggest: Callable[[str, Range], Any]) -> dict[str, Any]:
        """Name in Optuna -> value, of the parameters that exist in one draw.

        Args:
            suggest: called with a parameter's name and range; its value.
        """
        return self.draws.draw(suggest)

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What a sampler's draw changes in the base: path of the trial specification -> plain value."""
        return self.draws.settings(params)

    def trial(self, params: Mapping[str, Any]) -> TrialSpec:
        """The trial that a sampler's draw describes."""
        return changed(self.base, self.settings(params))

    def trial_seeds(self) -> tuple[int, ...]:
        """The seeds of every trial of the search, in their order."""
        return tuple(range(self.base.seed, self.base.seed + self.seeds))

    def is_over_budget(self, seconds: float, gflops: float) -> bool:
        """Whether the search, having spent so much, is to begin no other trial."""
        spent = ((seconds, self.max_seconds), (gflops, self.max_gflops))
        return any(limit is not None and amount >= limit for amount, limit in spent)

    def control_cells(self) -> list[tuple[str, int, TrialSpec]]:
        """(arm, seed, trial) of every control, arm by arm: seeds differ from the first step, arms later."""
        return [
            (arm.name, seed, changed(self.base, {**arm.changes, "seed": seed}))
            for arm in self.controls
            for seed in self.control_seeds
        ]

    def first_drops(self, steps_per_epoch: int) -> frozenset[int]:
        """Every step at which something may first happen in a trial of the study; up to there trials are alike."""
        trials = [*self.draws.schedules(), *(trial for _, _, trial in self.control_cells())]
        lengths = [t.method.schedule.first(t.training.total) for t in trials if t.method.schedule is not None]
        for path in ("method.schedule.s1", "method.schedule.period"):
            if path in self.space:
                lengths += [Duration.parse(field) for field in self.draws.fields(path)]
        return frozenset(length.steps(steps_per_epoch) for length in lengths)

    def fitting_share(self, steps_per_epoch: int) -> float:
        """Share of uniform draws whose choices go together and whose schedule fits the total; 1 without a search."""
        return self.draws.fitting_share(steps_per_epoch)


def _full(paths: Mapping[str, T]) -> dict[str, T]:
    """With the paths of parts' options written out; of two that are the same the later one counts, as in
    `{**STUDY.space, "method.s1": ...}`."""
    return {full_path(path): value for path, value in paths.items()}


def check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise SpecError(
            f"A name holds letters, digits, '-', '_' and '.', starts with a letter or digit and has "
            f"at most 100 characters, but got {name!r}."
        )


__all__ = [
    "Arm",
    "Choice",
    "DurationRange",
    "FloatRange",
    "IntRange",
    "StopRule",
    "StudySpec",
    "TrialSpec",
]
