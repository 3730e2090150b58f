"""An exchange between the members of a trial.

A rule is `exchange(members, **options)`: members are the networks of a trial, in the order of their ring, each
as name -> parameter or buffer, the tensors themselves. It changes them in place, reading what they were before.
Optimizer states are not its business.
"""

from __future__ import annotations

from collections.abc import Sequence

from reprtune.spec.parts.members import Exchange
from reprtune.training.chain.member import Member
from reprtune.training.parts.behaviour import behaviour


def exchange(members: Sequence[Member], rule: Exchange) -> None:
    """What an exchange does to all members."""
    behaviour(rule)([dict(member.model.state_dict()) for member in members])
