"""What a factorial design could see, before anything runs: the smallest main effects and interactions.

*Notations*

    sd         of the paired differences of two single runs, one of each of two cells, as in `plan`
    effect     of a level: the mean over the a cells with it minus that over the r cells with the reference level. It averages
               over all other factors, so its sd over seeds is sqrt((1/a + 1/r) / 2) sd, where seeds change no factor's effect
    together   of two factors with two levels each: the difference of two such differences, of q cells in each of the four
               corners: sqrt((1/q1 + 1/q2 + 1/q3 + 1/q4) / 2) sd
    m          effects and interactions of the design, which p is corrected for: see `factorial`

Where seeds do change what a factor does, less is seen than this says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reprtune.analysis.power import detectable
from reprtune.analysis.variance import estimable


@dataclass(frozen=True, kw_only=True)
class EffectPlan:
    """One effect of a level, or of two factors together.

    Attributes:
        name: `rate`, of three levels `rate: low`; `restore:rate` of two together. is_pair: is it of two?
        one, corrected: smallest seen with a power of 80 %, in sds, for this one alone and corrected for all `m`; None with
            fewer than three seeds.
    """

    name: str
    is_pair: bool
    m: int
    one: float | None
    corrected: float | None


def planned_effects(cells: Sequence[Mapping[str, str]], n: int) -> tuple[EffectPlan, ...]:
    """Of all factors, then of all pairs of two levels that the cells tell apart; none where a factor stands at one level.

    Args:
        cells: factor -> level, the reference level of each first. n: seeds.
    """
    names = list(cells[0]) if cells else []
    sizes = [*_mains(cells, names), *_pairs(cells, names)]
    return tuple(
        EffectPlan(
            name=name,
            is_pair=is_pair,
            m=len(sizes),
            one=_seen(n, 1, size),
            corrected=_seen(n, len(sizes), size),
        )
        for name, is_pair, size in sizes
    )


def _seen(n: int, m: int, size: float) -> float | None:
    found = detectable(n, m)
    return None if found is None else found * size


def _mains(cells: Sequence[Mapping[str, str]], names: Sequence[str]) -> list[tuple[str, bool, float]]:
    found = []
    for name in names:
        (_, reference), *others = Counter(cell[name] for cell in cells).items()
        for level, count in others:
            found.append((name if len(others) == 1 else f"{name}: {level}", False, _size(count, reference)))
    return found


def _pairs(cells: Sequence[Mapping[str, str]], names: Sequence[str]) -> list[tuple[str, bool, float]]:
    rows = [tuple(cell[name] for name in names) for cell in cells]
    found = []
    for term in estimable(rows, [0] * len(rows)):
        corners = Counter(tuple(row[i] for i in term) for row in rows)
        if len(term) == 2 and all(len({row[i] for row in rows}) == 2 for i in term):
            found.append((":".join(names[i] for i in term), True, _size(*corners.values())))
    return found


def _size(*counts: int) -> float:
    """The sd over seeds of a sum and difference of means over so many cells each, in sds of two runs' difference."""
    return math.sqrt(sum(1 / count for count in counts) / 2)
