"""The ways from one trial to another, one change at a time: which next steps are trials, and lead on to the end.

*Notations*

    taken      changes that were made so far
    available  a further change: with it there is a trial, and from there the end can still be reached
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from reprtune.errors import SpecError
from reprtune.spec.designs.differences import Changes
from reprtune.spec.edit import changed
from reprtune.spec.trial import TrialSpec

Taken = frozenset[str]
NO_WAY_ON = "from there no way of single changes leads to the end"


@dataclass(frozen=True)
class Ways:
    """Of one path.

    Attributes:
        start: the trial that it begins from. changes: all of them make it the end.
        steps_per_epoch: of the data, where they are known: then a schedule has to fit too.
    """

    start: TrialSpec
    changes: Changes
    steps_per_epoch: int | None = None
    _whys: dict[Taken, str] = field(default_factory=dict)
    _lead: dict[Taken, bool] = field(default_factory=dict)

    def trial(self, taken: Taken) -> TrialSpec:
        """What it is with these changes.

        Raises:
            SpecError: there is no such trial.
        """
        paths = {
            path: value
            for name in self.changes
            if name in taken
            for path, value in self.changes[name].items()
        }
        return changed(self.start, paths)

    def why_not(self, taken: Taken) -> str:
        """Why there is no trial with these changes; empty where there is one."""
        if taken not in self._whys:
            self._whys[taken] = ""
            try:
                trial = self.trial(taken)
                if self.steps_per_epoch is not None:
                    trial.check_fits(self.steps_per_epoch)
            except SpecError as error:
                self._whys[taken] = error.message
        return self._whys[taken]

    def leads_on(self, taken: Taken) -> bool:
        """Can the end be reached from here?"""
        if len(taken) == len(self.changes):
            return True
        if taken not in self._lead:
            self._lead[taken] = any(
                not self.why_not(further) and self.leads_on(further) for _, further in self._next(taken)
            )
        return self._lead[taken]

    def refused(self, taken: Taken) -> dict[str, str]:
        """Change that is not available -> why."""
        found = {
            name: self.why_not(further) or ("" if self.leads_on(further) else NO_WAY_ON)
            for name, further in self._next(taken)
        }
        return {name: why for name, why in found.items() if why}

    def available(self, taken: Taken) -> list[str]:
        """Changes that may come next, in their order."""
        refused = self.refused(taken)
        return [name for name, _ in self._next(taken) if name not in refused]

    def _next(self, taken: Taken) -> Iterator[tuple[str, Taken]]:
        return ((name, taken | {name}) for name in self.changes if name not in taken)

    def check(self, where: str) -> None:
        """Raise SpecError where no way leads to the end; it names what has to move together."""
        if self.leads_on(frozenset()):
            return
        stuck = self._furthest()
        whys = "; ".join(f"{name}: {why}" for name, why in self.refused(stuck).items())
        after = f" after {', '.join(name for name in self.changes if name in stuck)}" if stuck else ""
        paths = [path for name in self._smallest(stuck) for path in self.changes[name]]
        raise SpecError(
            f"{where} finds no change that can be made by itself{after}, so the path cannot go on: {whys}.",
            f"Let these move together: together = {[paths]}.".replace("'", '"'),
        )

    def _furthest(self) -> Taken:
        """Of what can be reached, one that has most changes."""
        reached: set[Taken] = {frozenset()}
        edge = [frozenset[str]()]
        while edge:
            edge = [
                f for taken in edge for _, f in self._next(taken) if f not in reached and not self.why_not(f)
            ]
            edge = list(dict.fromkeys(edge))
            reached.update(edge)
        return max(sorted(reached, key=sorted), key=len)

    def _smallest(self, stuck: Taken) -> tuple[str, ...]:
        """The fewest changes that can be made at once there, with a way on; all that are left in the worst case."""
        left = [name for name in self.changes if name not in stuck]
        for n in range(2, len(left)):
            for names in itertools.combinations(left, n):
                further = stuck | {*names}
                if not self.why_not(further) and self.leads_on(further):
                    return names
        return tuple(left)
