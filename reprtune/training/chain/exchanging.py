"""An exchange between the members of a trial, or between filters of each of them; see `parts.exchanges`."""

from __future__ import annotations

from collections.abc import Sequence

from reprtune.spec.parts.members import Exchange
from reprtune.training.chain.member import Member
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.exchanges import ExchangeContext
from reprtune.training.parts.exchanges.requirements import check_requirements
from reprtune.training.surgery.preceding import Order, entries, order


def exchange(members: Sequence[Member], rule: Exchange, number: int) -> None:
    """What an exchange does to all members, so many exchanges after the beginning.

    Raises:
        ReprtuneError: a rule of the person's own fails, or leaves something else than its place wants.
    """
    found = _order(members[0])
    seed = members[0].spec.seed
    context = ExchangeContext(seed, number, found.convolutions, found.follows, found.norms)
    behaviour(rule)([entries(member.model) for member in members], context)


def check_exchange(member: Member) -> None:
    """Raise SpecError where networks like this one cannot be exchanged as its method has it."""
    if (rule := member.spec.method.exchange) is not None:
        check_requirements(rule, _order(member))


def _order(member: Member) -> Order:
    return order(member.filters.graph, member.model)
