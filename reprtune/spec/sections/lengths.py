"""Plain training of other lengths: the yardstick for whatever costs less, or more, than standard training does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.designs.arm import BASELINE, Arm
from reprtune.spec.duration import Duration
from reprtune.spec.method import MethodSpec
from reprtune.spec.trial import TrialSpec

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


def lengths_of(arms: Mapping[str, TrialSpec]) -> dict[str, Duration]:
    """Arm -> its total, of those that are the arm `standard` but for that, `standard` itself among them; by what they
    are, whatever their names. Empty where there is no such arm, or it is more than plain training."""
    standard = arms.get(BASELINE)
    if standard is None or standard.method != MethodSpec():
        return {}
    return {
        name: trial.training.total
        for name, trial in arms.items()
        if _with_total(trial, standard.training.total) == standard
    }


def _with_total(trial: TrialSpec, total: Duration) -> TrialSpec:
    return replace(trial, training=replace(trial.training, total=total))
