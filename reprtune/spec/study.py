"""One question as one value: what is searched, from where, how it is judged, and against what."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.objectives import COST, ERROR, OBJECTIVES, compared
from reprtune.spec.rules import at_least, at_most, one_of
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range, param_name
from reprtune.spec.trial import TrialSpec

SAMPLERS = {
    "tpe": "tree-structured Parzen estimator; learns from every trial, milliseconds per draw",
    "random": "independent uniform draws",
    "qmc": "Sobol's sequence, which covers the space, choices too, more evenly than random draws",
    "nsga2": "the genetic algorithm NSGA-II, for several objectives and many slots (populations of a quarter of them, 4 to 50); learns from complete trials",
    "gp": "Gaussian process; for few slots, seconds per draw; learns from complete trials",
}
STOP_RULES = ("median", "percentile", "successive-halving", "none")
MIN_FITTING_SHARE = 0.2
MAX_DRAWS = 1000
MAX_SLOTS, MAX_SEEDS = 100_000, 1_000  # each slot is a row of the database, queued at create


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When a trial is stopped early: compared only at its rungs, never before its first full cycle.

    Attributes:
        rule: which share of the comparable trials goes on: `median`: the better half; `percentile`:
            the best `percentile` per cent; `successive-halving`: the best 1/`reduction_factor`, judged only
            at the first rung after every 1/`reduction_factor`^k of the total (asynchronous: with who is
            there); or `none`.
        min_comparable: with fewer comparable trials nothing is stopped.
        percentile: between 0 and 100, for that rule (25 when left out).
        reduction_factor: at least 2, for that rule (3 when left out).
    """

    rule: str = "median"
    min_comparable: int = 5
    percentile: float | None = None
    reduction_factor: int | None = None

    def __post_init__(self) -> None:
        one_of("stop.rule", self.rule, STOP_RULES)
        at_least("stop.min_comparable", self.min_comparable, 1)
        for name, rule in (("percentile", "percentile"), ("reduction_factor", "successive-halving")):
            if getattr(self, name) is not None and self.rule != rule:
                raise SpecError(
                    f"stop.{name} is for stop.rule {rule!r}, but the rule is {self.rule!r}.", "Leave it out."
                )
        if self.percentile is not None and not 0 < self.percentile < 100:
            raise SpecError(f"stop.percentile must be between 0 and 100, but got {self.percentile}.")
        if self.reduction_factor is not None:
            at_least("stop.reduction_factor", self.reduction_factor, 2)

    @property
    def kept_share(self) -> float:
        """The share of the comparable trials that goes on, in (0, 1]."""
        if self.rule == "percentile":
            return (25.0 if self.percentile is None else self.percentile) / 100
        return {"median": 0.5, "none": 1.0}.get(self.rule, 1 / (self.reduction_factor or 3))


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A named configuration: the base trial with some fields changed (path -> plain value)."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)


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
        stop: the early-stopping rule.
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
    stop: StopRule = field(default_factory=StopRule)
    slots: int = 32
    seeds: int = 1
    max_seconds: float | None = None
    max_gflops: float | None = None
    seed: int = 0
    controls: tuple[Arm, ...] = ()
    control_seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
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
        if unweighed and self.stop.rule != "none":
            raise SpecError(
                f"stop.rule {self.stop.rule!r} weighs {ERROR} at rungs and the planned {COST}, but not "
                f"{', '.join(unweighed)}.",
                "Set stop.rule to none.",
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
        params = [param_name(p, r) for p, r in self.space.items()]
        if len(set(params)) != len(params):
            raise SpecError(f"The last words of the paths in space must differ, but are {params}.")
        if "seed" in self.space:
            raise SpecError(
                "space cannot hold seed: a seed is no setting.", "Set seeds to train each trial with several."
            )
        for path, range_ in self.space.items():
            for value in range_.ends():
                changed(self.base, {path: value})

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

    @property
    def compared(self) -> tuple[str, ...]:
        """What its trials are held against each other by."""
        return compared(self.objectives)

    @property
    def stops_early(self) -> bool:
        """Does a rule judge trials at their rungs? They are told apart by their errors there."""
        return self.stop.rule != "none" and ERROR in self.objectives

    @property
    def params(self) -> dict[str, Range]:
        """Name in Optuna -> range."""
        return {param_name(path, range_): range_ for path, range_ in self.space.items()}

    def trial(self, params: Mapping[str, Any]) -> TrialSpec:
        """The trial that a sampler's draw describes."""
        return changed(self.base, self.settings(params))

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What a sampler's draw changes in the base: path of the trial specification -> plain value."""
        ranges = {param_name(path, r): (path, r) for path, r in self.space.items()}
        return {ranges[n][0]: ranges[n][1].to_field(v) for n, v in params.items()}

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
        """Every step at which a trial of the study may drop filters first; up to there trials are alike."""
        lengths = [self.base.method.s1, *(trial.method.s1 for _, _, trial in self.control_cells())]
        if (range_ := self.space.get("method.s1")) is not None:
            lengths += [Duration.parse(range_.to_field(v)) for v in range_.values() or ()]  # type: ignore[arg-type]
        return frozenset(length.steps(steps_per_epoch) for length in lengths)

    def fitting_share(self, steps_per_epoch: int) -> float:
        """Share of uniform draws whose cycles fit the total; exact up to `MAX_DRAWS` combinations. 1 without a
        search."""
        if not self.space:
            return 1.0
        lengths = ("method", "method.s1", "method.s2", "method.cycles", "training.total")
        paths = [p for p in self.space if p in lengths]
        grids: list[list[Any]] = [list(self.space[p].values() or ()) for p in paths]
        if math.prod(len(g) for g in grids) <= MAX_DRAWS:
            draws: Iterable[Sequence[Any]] = itertools.product(*grids)
        else:
            rng = random.Random(0)
            draws = ([rng.choice(g) for g in grids] for _ in range(MAX_DRAWS))
        fits = [
            changed(
                self.base, {p: self.space[p].to_field(v) for p, v in zip(paths, draw, strict=True)}
            ).excess_steps(steps_per_epoch)
            <= 0
            for draw in draws
        ]
        return self._valid_share() * sum(fits) / len(fits)

    def _valid_share(self) -> float:
        """Share of the combinations of choices that break no rule, the other fields as in the base."""
        choices = {p: r.values() for p, r in self.space.items() if isinstance(r, Choice)}
        valid = n = 0
        for values in itertools.islice(itertools.product(*choices.values()), MAX_DRAWS):
            n += 1
            with contextlib.suppress(SpecError):
                changed(self.base, dict(zip(choices, values, strict=True)))
                valid += 1
        return valid / n


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
