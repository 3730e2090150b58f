"""From one configuration to another, change by change: which of the differences carry the gain (an ablation path)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.codec import to_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Design
from reprtune.spec.edit import changed
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.places import NAMES, RECORDS
from reprtune.spec.trial import TrialSpec

LONGEST = 100  # characters of an arm's name


@dataclass(frozen=True, kw_only=True)
class Move:
    """One difference of the two ends: path -> what stands there at the end of the path."""

    name: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Path(Design):
    """Two arms, and what lies between them: in each stage every difference that is left is tried by itself, and the one
    after which the validation error is lowest is made for good (Fawcett and Hoos 2016, J. Heuristics 22:431-458).

    Attributes:
        start, end: the two; the end is compared with the start, unless it names others.
        together: names of differences that are made at once, such as `(("s1", "s2"),)`.
    """

    kind: ClassVar[str] = "path"
    line: ClassVar[str] = "from one configuration to another, the change that gains most first"
    start: Arm
    end: Arm
    together: tuple[tuple[str, ...], ...] = ()

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:
        moves = self.moves(base)
        if len(moves) > 1 and not self.candidates(base, ()):
            names = ", ".join(move.name for move in moves)
            raise SpecError(
                f"No difference of {self.start.name} and {self.end.name} can be made by itself: each of {names} needs "
                "another one.",
                "Name in `together` what has to be made at once.",
            )
        return (self.start, replace(self.end, against=self.end.against or (self.start.name,)))

    def planned(self, base: TrialSpec) -> int:
        """The two ends, and in each stage but the last as many as there are differences left."""
        n = len(self.moves(base))
        return 2 + n * (n + 1) // 2 - 1

    def moves(self, base: TrialSpec) -> tuple[Move, ...]:
        """The differences, those that are made at once as one.

        Raises:
            SpecError: there is none, or `together` names another.
        """
        single = {
            move.name: move
            for move in _moves(changed(base, self.start.changes), changed(base, self.end.changes))
        }
        if not single:
            raise SpecError(
                f"{self.start.name} and {self.end.name} are the same, so there is no path between them.",
                "Change something in one of them.",
            )
        grouped = [name for group in self.together for name in group]
        for name in grouped:
            if name not in single or grouped.count(name) > 1:
                raise SpecError(
                    f"together must name differences of {self.start.name} and {self.end.name}, each once, but got "
                    f"{name!r}.",
                    did_you_mean(name, single),
                )
        groups = [*self.together, *((name,) for name in single if name not in grouped)]
        return tuple(
            Move(
                name=".".join(group),
                changes={path: v for name in group for path, v in single[name].changes.items()},
            )
            for group in groups
        )

    def candidates(self, base: TrialSpec, made: Sequence[str]) -> dict[str, Arm]:
        """Name of a move -> the arm after it, of all that can be made next; `made`: those that are made."""
        moves = {move.name: move for move in self.moves(base)}
        found = {}
        for name in moves:
            if name in made:
                continue
            arm = self._after(moves, {*made, name})
            try:
                changed(base, arm.changes)
            except SpecError:
                continue
            found[name] = arm
        return found

    def _after(self, moves: Mapping[str, Move], made: Collection[str]) -> Arm:
        """The arm in which these moves are made, whatever their order."""
        if len(made) == len(moves):
            return self.end
        changes = dict(self.start.changes)
        for move in (moves[name] for name in moves if name in made):
            for path in move.changes:
                for other in [other for other in changes if other == path or other.startswith(f"{path}.")]:
                    del changes[other]
            changes |= move.changes
        names = [name for name in moves if name in made]
        said = ".".join((self.start.name, *names))
        if len(said) > LONGEST:
            numbers = (str(1 + list(moves).index(name)) for name in names)
            said = ".".join((self.start.name[:50], *numbers))
        return Arm(name=said, changes=changes)


def _moves(start: TrialSpec, end: TrialSpec) -> Iterator[Move]:
    """What differs, field by field: of a place of the method whole, where another part is there."""
    if start.seed != end.seed:
        raise SpecError("The ends of a path differ in seed, which is no setting.", "Set it in neither.")
    for head in ("task", "model", "training"):
        ours, theirs = to_plain(getattr(start, head)), to_plain(getattr(end, head))
        for name in dict.fromkeys((*ours, *theirs)):
            if ours.get(name) != theirs.get(name):
                yield Move(name=name, changes={f"{head}.{name}": theirs.get(name)})
    yield from _of_method(start.method, end.method)


def _of_method(start: MethodSpec, end: MethodSpec) -> Iterator[Move]:
    ours, theirs = to_plain(start), to_plain(end)
    for place in NAMES:
        a, b = ours.get(place), theirs.get(place)
        if a == b:
            continue
        alike = isinstance(a, dict) and isinstance(b, dict)
        if alike and (place in RECORDS or a["kind"] == b["kind"]):
            for option in b:
                if a.get(option) != b[option]:
                    yield Move(name=option, changes={f"method.{place}.{option}": b[option]})
        else:
            yield Move(name=place, changes={f"method.{place}": b})
