"""Tuning of arms: the same number of tries for each, with the same draws.

*Notations*

    try n      of an arm: what the arm is, with draw n of the space put in; trained with seeds that nothing else has, and
               measured on the validation part alone
    draw n     uniform, in the logarithm where a range is logarithmic; the same for all arms, of the fields that they have
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.designs.arm import Arm
from reprtune.spec.draws import Draws
from reprtune.spec.edit import changed, exists, with_full_paths
from reprtune.spec.names import LONGEST
from reprtune.spec.parts.places import short_path
from reprtune.spec.rules import at_least, at_most
from reprtune.spec.sections.search import check_value
from reprtune.spec.space import FloatRange, Range
from reprtune.spec.trial import TrialSpec

FIRST_SEED = 900_000  # seeds from here on are for tries, where arms are tuned, and for nothing else there
MOST = 100  # tries, and seeds of each
REDRAWS = 100
NOT_TUNED = {  # path, or what a path begins with -> why
    "seed": "a seed is no setting",
    "method": "it is what tells arms apart",
    "training.total": "all arms are compared at the lengths that they were declared with",
    "task.": "all arms are compared on the same data",
    "model.weights": "what a network begins from counts as training",
    "method.networks": "several networks are several times the training",
    "branch": "a branch begins where its trunk is",
}


@dataclass(frozen=True, kw_only=True)
class Tune:
    """Every arm is tried with the same draws from a space; its best try gives the settings that it is compared with.

    Attributes:
        space: path of the trial specification -> range. Of a field that an arm does not have, or sets itself, nothing
            is drawn for it.
        tries: of each arm. seeds: of each try. seed: of the draws.
    """

    space: Mapping[str, Range]
    tries: int = 8
    seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", with_full_paths(self.space))

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of every try."""
        return tuple(range(FIRST_SEED, FIRST_SEED + self.seeds))

    @property
    def runs(self) -> int:
        """Of the tries of one arm."""
        return self.tries * self.seeds

    # -- tries --------------------------------------------------------------------------------------

    def tried(self, arm: Arm, base: TrialSpec, steps: int | None = None) -> tuple[Arm, ...]:
        """The tries of an arm. A draw that does not go with it is drawn again.

        Args:
            steps: per epoch, where they are known: then a draw that does not fit the total is drawn again too.

        Raises:
            SpecError: none of many draws goes with it.
        """
        draws = self._of(arm, base)
        return tuple(self._one(arm, draws, n, steps) for n in range(self.tries))

    def _one(self, arm: Arm, draws: Draws, n: int, steps: int | None) -> Arm:
        for again in range(REDRAWS):
            drawn = draws.settings(self._draw(draws, n, again))
            try:
                trial = changed(draws.base, drawn)
                if steps is not None:
                    trial.check_fits(steps)
            except SpecError as error:
                why = error
            else:
                return Arm(name=try_name(arm.name, n), changes={**arm.changes, **drawn})
        raise SpecError(
            f"tune.space: none of {REDRAWS} draws goes with the arm {arm.name}: {why}",
            "Narrow its ranges, or leave the field out.",
        )

    def _draw(self, draws: Draws, n: int, again: int) -> dict[str, Any]:
        """The same for every arm, whatever fields it has."""
        rng = random.Random(f"{self.seed}, {n}, {again}")
        points = {path: rng.random() for path in sorted(self.space)}
        of = {name: points[path] for path, name in draws.names.items()}
        return draws.draw(lambda name, range_: _at(range_, of[name]))

    def ends(self, arms: Sequence[Arm], base: TrialSpec) -> dict[str, Mapping[str, Any]]:
        """Both ends of every range, with the first arm that the field is drawn for: what it is called -> changes of the
        base."""
        found: dict[str, Mapping[str, Any]] = {}
        for path, range_ in self.space.items():
            for arm in arms:
                if path not in (draws := self._of(arm, base)).space:
                    continue
                for above, value in itertools.product(draws.holders(path), range_.ends()):
                    drawn = {**above, path: value}
                    said = ", ".join(f"{short_path(at)} = {what}" for at, what in drawn.items())
                    found[f"arm {arm.name} with {said}"] = {**arm.changes, **drawn}
                break
        return found

    def _of(self, arm: Arm, base: TrialSpec) -> Draws:
        """What is drawn for an arm."""
        trial = changed(base, arm.changes)
        return Draws(
            trial,
            {
                path: r
                for path, r in self.space.items()
                if path not in arm.changes and self._may_have(trial, path)
            },
        )

    def _may_have(self, trial: TrialSpec, path: str) -> bool:
        """Has an arm the place, and the option of a part there, or of one that the space puts there?"""
        if not path.startswith("method."):
            return True
        place = ".".join(path.split(".")[:2])
        return exists(trial.method, {}, place) and any(
            exists(trial.method, chosen, path) for chosen in Draws(trial, self.space).holders(path)
        )

    # -- checks -------------------------------------------------------------------------------------

    def check(self, where: str) -> None:
        """Raise SpecError where a field breaks its rule, whatever the arms; `where` it stands."""
        if not self.space:
            raise SpecError(
                f"{where}.space must name at least one field to tune, but is empty.",
                'Write {"training.lr": FloatRange(low=0.01, high=0.3, log=True)}, or leave tune out.',
            )
        for path in self.space:
            for head, why in NOT_TUNED.items():
                if path == head or (head != "method" and path.startswith(head)):
                    raise SpecError(
                        f"{where}.space cannot hold {short_path(path)}: {why}.", "Take it out of the space."
                    )
        for name, value, low in (("tries", self.tries, 2), ("seeds", self.seeds, 1)):
            at_least(f"{where}.{name}", value, low)
            at_most(f"{where}.{name}", value, MOST)
        at_least(f"{where}.seed", self.seed, 0)

    def check_in(self, where: str, arms: Sequence[Arm], base: TrialSpec) -> None:
        """Raise SpecError where a value of the space goes with an arm in no way, or no arm has a field."""
        used = set[str]()
        for arm in arms:
            self._check_name(where, arm)
            draws = self._of(arm, base)
            used |= {*draws.space}
            for path, range_ in draws.space.items():
                for value in range_.ends():
                    try:
                        check_value(draws.base, draws, path, value)
                    except SpecError as error:
                        raise SpecError(
                            f"{where}.space, arm {arm.name}, {short_path(path)} = {value}: {error.message}",
                            error.hint,
                        ) from error
        if missing := [path for path in self.space if path not in used]:
            self._refuse(where, missing[0], [changed(base, arm.changes) for arm in arms])

    def _refuse(self, where: str, path: str, trials: Sequence[TrialSpec]) -> None:
        """A field that is drawn for no arm."""
        for trial in trials:
            try:
                changed(trial, {path: self.space[path].ends()[0]})
            except SpecError as error:
                raise SpecError(f"{where}.space, {short_path(path)}: {error.message}", error.hint) from error
        raise SpecError(
            f"{where}.space holds {short_path(path)}, but every arm that has it sets it itself.",
            "Take it out of the space, or out of the changes of the arms.",
        )

    def _check_name(self, where: str, arm: Arm) -> None:
        if is_try(arm.name):
            raise SpecError(
                f"The arm {arm.name} cannot have that name beside {where}: so the tries of arms are named.",
                "Choose another name.",
            )
        if len(longest := try_name(arm.name, self.tries - 1)) > LONGEST:
            raise SpecError(
                f"The arm {arm.name} is tuned ({where}), so that its name must have at most "
                f"{LONGEST - len(longest) + len(arm.name)} characters, but it has {len(arm.name)}.",
                "Choose a shorter one.",
            )


def next_seed(used: Sequence[int]) -> int:
    """The one after the largest that something else than a try has."""
    return 1 + max((seed for seed in used if seed < FIRST_SEED), default=-1)


def try_name(arm: str, n: int) -> str:
    """What try `n` of an arm is called."""
    return f"{arm}.try-{n}"


def is_try(name: str) -> bool:
    """Is it called like a try?"""
    return re.search(r"\.try-\d+$", name) is not None


def _at(range_: Range, u: float) -> Any:
    """The value of a range at a share `u` of it."""
    values: Sequence[Any] | None = range_.values()
    if values is not None:
        return values[int(u * len(values))]
    assert isinstance(range_, FloatRange)
    if range_.log:
        return float(range_.low * (range_.high / range_.low) ** u)
    return float(range_.low + u * (range_.high - range_.low))
