"""What a method did to a network on the way and at its end, in words for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.units import significant

TIED = "tied_distance"  # what the drop of tied filters tells, beside counts of single weights


def dropped(history: Mapping[str, Any]) -> str:
    """How much was taken in all drops, of all networks; empty for a trial without drops.

    A method that has found nothing to take is plain training, which no error would tell."""
    drops = history["drops"]
    if not drops:
        return ""
    filters = sum(len(taken) for drop in drops for taken in drop["dropped"].values())
    weights = sum(
        int(value)
        for told in history["happenings"]
        for name, value in told["numbers"].items()
        if told["kind"] == "drop" and name != TIED
    )
    taken = [_count(filters, "filter")] if filters else []
    taken += [_count(weights, "single weight")] if weights else []
    return f"{' and '.join(taken) or 'nothing'} in {_count(len(drops), 'drop')}"


def ended(history: Mapping[str, Any]) -> str:
    """What the ending has made of each network; empty for a trial without an ending, or before it."""
    ends = [told for told in history["happenings"] if told["kind"] == "end" and "gap" in told["numbers"]]
    several = len(ends) > 1
    return "; ".join(
        (f"member-{told['member']}: " if several else "") + _end(told["numbers"]) for told in ends
    )


def _end(numbers: Mapping[str, float]) -> str:
    sizes = f"{numbers['params_before']:,.0f} parameters before, {numbers['params']:,.0f} after"
    gap = numbers["gap"]
    said = f"differ by up to {significant(gap, 3)}" if gap else "are the same"
    return f"{sizes}; logits {said}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
