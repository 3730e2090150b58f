"""What stands for the rules of a study that names none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from reprtune.spec.decisions import LEADER, PLAIN, Rule
from reprtune.spec.designs.arm import BASELINE, Arm


def standing_rules(
    arms: Sequence[Arm], lengths: Collection[str], may_meet: Callable[[str, str], bool], *, searched: bool
) -> tuple[Rule, ...]:
    """The best of a search against `standard`, else the first arm, and against plain training of its cost where there
    are lengths of it; and every arm against those that it names, else `standard`, where that was not trained for less.

    Args:
        lengths: arms that are plain training, which claim nothing. may_meet: whether an arm may be held against
            another.
    """
    names = [arm.name for arm in arms]
    standard = (BASELINE,) if BASELINE in names else ()
    controls = [(*standard, *names)[0], *([PLAIN] if len(lengths) > 1 else [])] if searched else []
    found = [Rule(arm=LEADER, control=control) for control in controls]
    for arm in arms:
        by_default = (
            n for n in standard if n != arm.name and arm.name not in lengths and may_meet(arm.name, n)
        )
        found += [Rule(arm=arm.name, control=other) for other in arm.controls(tuple(by_default))]
    return tuple(found)
