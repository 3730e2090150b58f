"""A training method as a composition of parts over one or several networks.

A schedule says when what happens. At a drop act criterion, selection and drop; at a restore, restore and its
rules; at an exchange, exchange; in between, gradient and losses. What is not there does not act, and standard
training is the composition with nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.method_checks import check_losses, check_phase, check_renewal
from reprtune.spec.parts.criteria import Criterion
from reprtune.spec.parts.losses import LossTerm
from reprtune.spec.parts.members import Average, Centripetal, Ending, Exchange, Gradient, Networks, Ring
from reprtune.spec.parts.part import Own, Part
from reprtune.spec.parts.restores import Restore, RestoreRules, Scaled
from reprtune.spec.parts.schedules import Cycles, Every, Phase, Schedule
from reprtune.spec.parts.selections import (
    WHOLE,
    Clusters,
    Dormant,
    Drop,
    Exact,
    Fixed,
    Selection,
    Share,
    SingleWeights,
    Weights,
)
from reprtune.spec.ties import check_ties

AT_EVENTS = ("criterion", "selection", "drop", "restore", "restore_rules", "exchange")
WHAT = {"filter": "filters", "weight": "single weights"}


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A composition; each place holds a part with its own options, or nothing.

    Attributes:
        schedule: when what happens. criterion: what ranks. selection: who is taken.
        drop: what "gone" means. restore: how it comes back; restore_rules: what else happens then.
        exchange: between members, or within one. gradient: a rule between backward and update.
        losses: terms added to the cross-entropy. networks: how many there are; None = one.
        ending: once, after the last step.
    """

    schedule: Schedule | None = None
    criterion: Criterion | None = None
    selection: Selection | None = None
    drop: Drop | None = None
    restore: Restore | None = None
    restore_rules: RestoreRules | None = None
    exchange: Exchange | None = None
    gradient: Gradient | None = None
    losses: tuple[LossTerm, ...] = ()
    networks: Networks | None = None
    ending: Ending | None = None

    def __post_init__(self) -> None:
        self._check_schedule()
        self._check_selection()
        check_renewal(self.schedule, self.selection, self.restore, self.restore_rules)
        self._check_drop()
        self._check_units()
        check_phase(self.schedule, self.selection, self.drop, self.gradient, self.ending)
        check_ties(self.schedule, self.selection, self.drop, self.restore, self.ending)
        self._check_members()
        check_losses(self.losses, self.schedule, self.networks)

    def _check_schedule(self) -> None:
        """What acts at events needs some, and a schedule needs something that acts."""
        there = [name for name in AT_EVENTS if getattr(self, name) is not None]
        if there and self.schedule is None:
            raise SpecError(
                f"method.{there[0]} does nothing without method.schedule, which says when.",
                "Take a method that has one, such as repr, or leave it out.",
            )
        for name in there:
            if self.schedule is not None and name not in self.schedule.acts:
                part = getattr(self, name)
                raise SpecError(
                    f"method.{name}{'' if not isinstance(part, Part) else f' = {part.name}'} does nothing with "
                    f"method.schedule = {self.schedule.name}, at whose events "
                    f"{', '.join(self.schedule.acts)} may act.",
                    f"Leave method.{name} out, or take another method.schedule.",
                )
        if isinstance(self.schedule, Every) and self.restore_rules is not None and self.restore is None:
            raise SpecError(
                "method.restore_rules does nothing with method.schedule = every without method.restore, for then there "
                "are no restores.",
                "Leave method.restore_rules out, or take a method.restore.",
            )
        if self.schedule is not None and not there and not any(loss.renews for loss in self.losses):
            raise SpecError(
                f"method.schedule = {self.schedule.name} lets nothing happen: nothing in the method acts at its "
                "events.",
                "Leave method.schedule out, or take a method that has more, such as repr.",
            )

    def _check_selection(self) -> None:
        """Who ranks, ranks for somebody, who is taken by rank is ranked, and something is done with them."""
        if self.criterion is not None and self.selection is None:
            raise SpecError(
                f"method.criterion = {self.criterion.name} ranks for nobody: method.selection is empty.",
                f"Take method.selection = {'share' if 'filter' in self.criterion.units else 'weights'}.",
            )
        if self.selection is None:
            return
        if isinstance(self.selection, (Share, Weights, Dormant)) and self.criterion is None:
            raise SpecError(
                f"method.selection = {self.selection.name} needs method.criterion, which ranks.",
                "Take random for a choice without one."
                if not isinstance(self.selection, Dormant)
                else f"Take {Dormant.sizes[0]}.",
            )
        if self.criterion is not None and isinstance(self.selection, (Clusters, Fixed, *WHOLE)):
            raise SpecError(
                f"method.criterion = {self.criterion.name} ranks for nobody: method.selection = "
                f"{self.selection.name} does not look at scores.",
                "Leave method.criterion out, or take method.selection = share.",
            )
        sized = isinstance(self.criterion, Own | None) or self.criterion.name in Dormant.sizes
        if isinstance(self.selection, Dormant) and not sized:
            raise SpecError(
                "method.selection = dormant needs a criterion that is minus a size, but got "
                f"method.criterion = {self.criterion.name if self.criterion else None}.",
                f"Take one of {', '.join(Dormant.sizes)}.",
            )
        # A gradient rule of the person's own is not told who is taken, and an exchange takes whom it finds itself.
        if self.drop is None and self.restore is None and not isinstance(self.gradient, Centripetal):
            raise SpecError(
                f"method.selection = {self.selection.name} takes {WHAT[self.unit]}, but nothing is done with them.",
                "Take a method.drop and a method.restore, or leave method.selection and method.criterion out.",
            )

    def _check_drop(self) -> None:
        """Who is dropped was taken, and comes back."""
        for name in ("drop", "restore"):
            if getattr(self, name) is not None and self.selection is None:
                raise SpecError(
                    f"method.{name} needs method.selection, which says whom.",
                    "Take share, with a method.criterion.",
                )
        if self.drop is not None and self.restore is None and not isinstance(self.schedule, Phase):
            raise SpecError(
                f"method.drop = {self.drop.name} needs method.restore, which brings back what was dropped.",
                "Take old for the weights that they had.",
            )
        cycles = self.cycles
        if cycles is not None and cycles.s2.value and self.selection is not None and self.drop is None:
            raise SpecError(
                f"method.s2 = {cycles.s2} needs method.drop, which says what the network is without those taken.",
                f"Take {self.dropped_as.name}, or method.s2 = 0ep to restore at once.",
            )

    def _check_units(self) -> None:
        """Filters are ranked, dropped and restored as filters, single weights as single weights."""
        if self.selection is None:
            return
        unit = self.selection.unit
        there = (("ranks", self.criterion), ("drops", self.drop), ("restores", self.restore))
        for does, part in there:
            if part is None or unit in part.units:
                continue
            fit = " or ".join([kind.kind for kind in part.kinds if unit in kind.units][:3])
            raise SpecError(
                f"method.{part.place} = {part.name} {does} {WHAT[part.units[0]]}, but method.selection = "
                f"{self.selection.name} takes {WHAT[unit]}.",
                f"Take method.{part.place} = {fit}, or another method.selection.",
            )
        if unit == "weight" and isinstance(self.restore, Scaled) and self.restore.restore_scale != "own":
            raise SpecError(
                f"method.restore_scale = {self.restore.restore_scale} sets the norm of filters, but "
                f"method.selection = {self.selection.name} takes single weights.",
                "Take method.restore_scale = own.",
            )

    def _check_members(self) -> None:
        if isinstance(self.exchange, (Average, Ring)) and self.networks is None:
            raise SpecError(
                f"method.exchange = {self.exchange.name} goes on between several networks, but there is one.",
                "Set method.networks, such as method.n_members=2.",
            )

    @property
    def dropped_as(self) -> Drop:
        """What "gone" means, also where nothing says it because what is taken comes back at once."""
        return self.drop or (SingleWeights() if self.unit == "weight" else Exact())

    @property
    def unit(self) -> str:
        """What is taken: `filter` or `weight`."""
        return "filter" if self.selection is None else self.selection.unit

    @property
    def n_members(self) -> int:
        """How many networks are trained."""
        return 1 if self.networks is None else self.networks.n_members

    @property
    def couples_members(self) -> bool:
        """Do its members advance step by step, because a loss needs the answers of others?"""
        return any(loss.couples for loss in self.losses)

    @property
    def cycles(self) -> Cycles | None:
        """The schedule where it is of cycles."""
        return self.schedule if isinstance(self.schedule, Cycles) else None

    def parts(self) -> Iterator[tuple[str, Part]]:
        """(place, part) of all that is there, but for the two records."""
        for field in fields(self):
            value = getattr(self, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Part):
                    yield field.name, part

    def options(self) -> Iterator[tuple[str, str, Any]]:
        """(place, option, value) of every part and record that is there."""
        for place, part in self.parts():
            yield from ((place, name, value) for name, value in part.options().items())
        for place in ("restore_rules", "networks"):
            if (record := getattr(self, place)) is not None:
                yield from ((place, f.name, getattr(record, f.name)) for f in fields(record))

    def option(self, word: str) -> Any:
        """The value of an option, whichever part has it; None where none has."""
        return next((value for _, name, value in self.options() if name == word), None)
