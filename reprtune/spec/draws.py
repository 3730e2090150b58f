"""What can be drawn from a space: which parameters exist together, and how much of it fits the total.

An option exists only with its part. Where the space chooses methods or parts, a parameter of theirs is drawn
only if what was chosen has it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed, exists, rank
from reprtune.spec.parts.places import short_path
from reprtune.spec.parts.schedules import Generations
from reprtune.spec.space import Choice, Range, param_names
from reprtune.spec.trial import TrialSpec

MAX_DRAWS = 1000  # more combinations are estimated


@dataclass(frozen=True)
class Draws:
    """The draws of a search.

    Attributes:
        base: the trial that a draw changes. space: full path -> range.
    """

    base: TrialSpec
    space: Mapping[str, Range]

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """Path -> name in Optuna: its last word, or its last two where others end alike."""
        return param_names(self.space)

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Path of the trial specification -> plain value, of the parameters that are there and exist together:
        older versions drew others too, which did nothing."""
        given = {path: params[name] for path, name in self.names.items() if name in params}
        found: dict[str, Any] = {}
        for path in self._in_order(given):
            if self._exists(path, found):
                found[path] = self.space[path].to_field(given[path])
        return found

    def draw(self, suggest: Callable[[str, Range], Any]) -> dict[str, Any]:
        """Name -> value of the parameters that exist in one draw.

        Args:
            suggest: called with a parameter's name and range; its value.
        """
        drawn: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for path in self._in_order(self.space):
            if self._exists(path, found):
                range_, name = self.space[path], self.names[path]
                drawn[name] = suggest(name, range_)
                found[path] = range_.to_field(drawn[name])
        return drawn

    def _in_order(self, paths: Iterable[str]) -> Iterable[str]:
        """As people's paths are sorted, so that a draw depends neither on the order in which a space was written
        nor on the places of options; methods before parts before options, where those decide what exists."""
        return sorted(paths, key=lambda path: (rank(path) if self.dependent else 0, short_path(path)))

    def _exists(self, path: str, settings: Mapping[str, Any]) -> bool:
        return path not in self.dependent or self._is_there(path, settings)

    @functools.cached_property
    def choices(self) -> list[str]:
        """The paths at which methods or parts are chosen."""
        return [path for path in self.space if rank(path) < 2]

    @functools.cached_property
    def dependent(self) -> dict[str, list[str]]:
        """Path of a parameter that is not in every draw -> the choices that it hangs on."""
        above = {path: self._above(path) for path in self.space}
        return {
            path: over
            for path, over in above.items()
            if over and not all(self._is_there(path, chosen) for chosen in self._combinations(over))
        }

    def holders(self, path: str) -> list[dict[str, Any]]:
        """The settings of the methods and parts above a path with which it exists; none where it never does."""
        over = self._above(path)
        chosen = self._combinations(over)
        return [settings for settings in chosen if not over or self._is_there(path, settings)]

    def _above(self, path: str) -> list[str]:
        """The choices of a whole method, or of a part, that the path lies in."""
        return [choice for choice in self.choices if path.startswith(f"{choice}.")]

    def _combinations(self, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
        grids = [self.space[path].values() or () for path in paths]
        return (dict(zip(paths, values, strict=True)) for values in itertools.product(*grids))

    def _is_there(self, path: str, settings: Mapping[str, Any]) -> bool:
        chosen = {choice: settings[choice] for choice in self.choices if choice in settings}
        key = (path, *chosen.items())
        if key not in self._known:
            self._known[key] = exists(self.base.method, chosen, path)
        return self._known[key]

    @functools.cached_property
    def _known(self) -> dict[tuple[Any, ...], bool]:
        """(path, what is chosen) -> whether it exists then, of what has been asked before."""
        return {}

    @functools.cached_property
    def most_settings(self) -> float:
        """How many different settings can be drawn at most; infinite where a range is continuous."""
        return math.prod(
            math.inf if (v := range_.values()) is None else len(v) for range_ in self.space.values()
        )

    def fitting_share(self, steps_per_epoch: int) -> float:
        """Share of uniform draws whose choices go together and whose schedule fits the total; exact up to
        `MAX_DRAWS` combinations, but where parameters exist only in some draws estimated from so many. 1 without
        a search."""
        if not self.space:
            return 1.0
        if self.dependent:
            return self._drawn_share(steps_per_epoch)
        paths = [
            p for p in self.space if p in ("training.total", "method") or p.startswith("method.schedule")
        ]
        fits = [trial.excess_steps(steps_per_epoch) <= 0 for trial in self._some(paths) if trial is not None]
        choices = list(
            self._some([path for path, range_ in self.space.items() if isinstance(range_, Choice)])
        )
        valid = sum(trial is not None for trial in choices) / len(choices)
        return valid * sum(fits) / len(fits) if fits else 0.0

    def _some(self, paths: Sequence[str]) -> Iterator[TrialSpec | None]:
        """The trials of all combinations of the parameters at the paths, or of `MAX_DRAWS` drawn ones where there
        are more, the other fields as in the base; None for one that breaks a rule."""
        grids = [self._grid(path) for path in paths]
        if math.prod(len(grid) for grid in grids) <= MAX_DRAWS:
            draws: Iterable[Sequence[Any]] = itertools.product(*grids)
        else:
            rng = random.Random(0)
            draws = ([rng.choice(grid) for grid in grids] for _ in range(MAX_DRAWS))
        return (self._trial({self.names[p]: v for p, v in zip(paths, d, strict=True)}) for d in draws)

    def _drawn_share(self, steps_per_epoch: int) -> float:
        rng = random.Random(0)
        grids = {self.names[path]: self._grid(path) for path in self.space}
        draws = (self.draw(lambda name, _: rng.choice(grids[name])) for _ in range(MAX_DRAWS))
        trials = [trial for draw in draws if (trial := self._trial(draw)) is not None]
        return sum(trial.excess_steps(steps_per_epoch) <= 0 for trial in trials) / MAX_DRAWS

    def fields(self, path: str) -> list[Any]:
        """The plain values that a range may give its field, of a continuous one the ends."""
        return [self.space[path].to_field(value) for value in self._grid(path)]

    def _grid(self, path: str) -> list[Any]:
        """The values of a range, of a continuous one its ends."""
        return list(self.space[path].values() or self.space[path].ends())

    def _trial(self, params: Mapping[str, Any]) -> TrialSpec | None:
        """None where the values do not go together."""
        with contextlib.suppress(SpecError):
            return changed(self.base, self.settings(params))
        return None

    def first_lengths(self) -> list[Duration]:
        """After which something may first happen, of those that the space varies."""
        found = [
            Duration.parse(field)
            for path in ("method.schedule.s1", "method.schedule.period")
            if path in self.space
            for field in self.fields(path)
        ]
        if (path := "method.schedule.generations") in self.space:
            given = [Generations(generations=n) for n in self.fields(path)]
            found += [schedule.first(self.base.training.total) for schedule in given]
        return found

    def schedules(self) -> list[TrialSpec]:
        """The base, and what it is with each method and schedule that the space may choose."""
        chosen = self._combinations(self._above("method.schedule."))
        params = ({self.names[path]: value for path, value in settings.items()} for settings in chosen)
        return [self.base, *(trial for one in params if (trial := self._trial(one)) is not None)]
