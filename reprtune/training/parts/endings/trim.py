"""The filters of each cluster have become one: the network without the others, which says the same."""

from __future__ import annotations

from typing import Any

from torch import nn

from reprtune.training.chain.member import Member
from reprtune.training.parts.gradients.centripetal import Centripetal
from reprtune.training.surgery.trim import trim


def end(member: Member) -> tuple[nn.Module, dict[str, Any]]:
    """The smaller network and its form, by the clusters that the gradient rule has worked with."""
    rule = member.holdings["gradient"]
    assert isinstance(rule, Centripetal)
    return trim(member.model, rule.clusters)
