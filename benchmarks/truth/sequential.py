"""Several arms against one control: how often something is said, with fixed seeds and with seeds added where open.

*Notations*

    m          arms, each compared with the same control; seeds are blocks; all errors normal
    effect     true mean difference in standard deviations of the paired differences, the same for all arms
    fixed      11 seeds for each arm, paired t test, Holm
    sequential 3 seeds, then 2 more up to 11 for comparisons that are still open: p over all looks, Holm over all m.
               A comparison closes when its corrected p is below 5 %
    family     share of studies that say anything where nothing differs
    power      share of comparisons shown; seeds: mean number used by a comparison
    coverage   share of repeated intervals, at the look at which the comparison stopped, that hold the truth
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from benchmarks.truth.shares import share
from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import holm
from reprtune.analysis.sequential import sequential_interval, sequential_p

LOOKS = (3, 5, 7, 9, 11)
ARMS = (1, 5, 12)
EFFECTS = (0.0, 0.5, 1.0, 2.0)


@dataclass
class Counts:
    """What the studies of one truth came to; every list has an entry for each comparison."""

    shown: list[bool] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    said: int = 0  # studies in which anything was shown


def main(studies: int) -> None:
    for m in ARMS:
        for effect in EFFECTS:
            for name, looks in (("fixed", LOOKS[-1:]), ("sequential", LOOKS)):
                found = counted(m, effect, looks, studies)
                print(
                    f"  m {m:2}  effect {effect:3}  {name:10}  family {share(found.said, studies)}"
                    f"  power {100 * np.mean(found.shown):5.1f} %  seeds {np.mean(found.used):4.1f}"
                    f"  coverage {100 * np.mean(found.held):.1f} %",
                    flush=True,
                )


def counted(m: int, effect: float, looks: tuple[int, ...], studies: int) -> Counts:
    rng, found = np.random.default_rng(29), Counts()
    for _ in range(studies):
        control = rng.standard_normal(LOOKS[-1])
        differences = (rng.standard_normal((m, LOOKS[-1])) - control) / math.sqrt(2) + effect
        stops, shown = studied(differences, looks)
        found.shown += shown
        found.used += stops
        found.said += any(shown)
        for d, n in zip(differences, stops, strict=True):
            low, high = sequential_interval(d[:n], looks) or (math.nan, math.nan)
            found.held.append(low <= effect <= high)
    return found


def studied(differences: np.ndarray, looks: tuple[int, ...]) -> tuple[list[int], list[bool]]:
    """Seeds used by each comparison, and whether it is shown at the end."""
    m = len(differences)
    ps: list[float | None] = [None] * m
    stops, shown = [0] * m, [False] * m
    for n in looks:
        for i in (i for i in range(m) if not shown[i]):
            ps[i], stops[i] = sequential_p(differences[i, :n], looks), n
        shown = [p is not None and p < ALPHA for p in holm(ps)]
    return stops, shown
