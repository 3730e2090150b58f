"""Plain training of other lengths: the yardstick for whatever costs less, or more, than standard training does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.sections.arms import Arm

SHORTER = (0.4, 0.6, 0.8)
STANDARD: Mapping[str, Any] = {"method": "standard"}


def plain_lengths(
    total: Duration | str, factors: Sequence[float] = SHORTER, *, standard: Mapping[str, Any] = STANDARD
) -> tuple[Arm, ...]:
    """Arms that are standard training but for their length, `standard-x0.4` and so on: whole epochs (or steps), and
    all shares of the total, milestones of the learning rate among them, at their places.

    Args:
        total: of the study's other trials. factors: how many times as long; 1 is the arm `standard` itself. Go up to
            what the costliest trials take: to 2 where some have two networks.
        standard: what the arm `standard` changes in the base.

    Raises:
        SpecError: a factor is no number above 0, is 1, or stands there twice.
    """
    length = Duration.parse(total, "total")
    for factor in factors:
        if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not 0 < factor < float("inf"):
            raise SpecError(f"factors of plain_lengths must be numbers above 0, but got {factor!r}.")
        if factor == 1:
            raise SpecError(
                "factors of plain_lengths must differ from 1, but hold it.",
                "Leave it out: that is the arm standard itself.",
            )
    if len({*factors}) != len(factors):
        raise SpecError(f"factors of plain_lengths must differ from each other, but got {list(factors)}.")
    return tuple(
        Arm(
            name=f"standard-x{factor:g}",
            changes={**standard, "training.total": str(length.scaled(Fraction(str(factor))))},
        )
        for factor in factors
    )
