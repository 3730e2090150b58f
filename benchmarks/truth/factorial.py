"""How often a factorial design names a factor or a pair: where none does anything, and where one does.

*Notations*

    2 x 2, 2 x 3 x 2   levels of the factors; sd of the noise 1, of seeds 2
    named              a term's p, corrected by Holm's rule, is below 5 %, and so is that of one of its paired differences
    by F alone         the first of the two: what the second costs where seeds are additive, and what it saves where they
                       are not
    coverage           share of intervals of main effects that hold the true difference; 95 % is what they promise
    own effects        every seed has an effect of its own of the first factor, normal with mean 0 and this sd
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from benchmarks.truth.shares import share
from reprtune.analysis.cells import Run
from reprtune.analysis.factorial import Factorial, factorial
from reprtune.analysis.level import ALPHA

DESIGNS: dict[str, dict[str, tuple[str, ...]]] = {
    "2 x 2": {"A": ("0", "1"), "B": ("0", "1")},
    "2 x 3 x 2": {"A": ("0", "1"), "B": ("0", "1", "2"), "C": ("0", "1")},
}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """`main`: what level 1 of A adds; `both`: what it adds more where B is 1; `own`: see *Notations*."""

    main: float = 0.0
    both: float = 0.0
    own: float = 0.0


def study(
    factors: dict[str, tuple[str, ...]], seeds: int, truth: Truth, rng: np.random.Generator
) -> Factorial:
    """One fabricated study, analysed by the product."""
    block, own = 2 * rng.standard_normal(seeds), truth.own * rng.standard_normal(seeds)
    runs = []
    for levels in itertools.product(*factors.values()):
        on = levels[0] == "1"
        for s in range(seeds):
            error = block[s] + on * (truth.main + own[s] + truth.both * (levels[1] == "1"))
            cell = dict(zip(factors, levels, strict=True))
            runs.append(Run(levels=cell, seed=s, error=float(error + rng.standard_normal())))
    return factorial(runs, factors)


def held(found: Factorial, true_a: float) -> tuple[int, int]:
    """How many intervals of main effects hold the true difference, `true_a` of A and 0 of the others; of how many."""
    hits = n = 0
    for effect in found.effects:
        d = effect.comparison.judged
        if d is not None and d.low is not None and d.high is not None:
            true = true_a if effect.factor == "A" else 0.0
            hits, n = hits + (d.low <= true <= d.high), n + 1
    return hits, n


def main(studies: int) -> None:
    rng = np.random.default_rng(21)
    for name, factors in DESIGNS.items():
        for seeds in (3, 5):
            print(f"{name}, {seeds} seeds")
            for truth in (Truth(), Truth(main=1), Truth(main=2), Truth(both=4), Truth(own=1)):
                found = [study(factors, seeds, truth, rng) for _ in range(studies)]
                _print(found, truth, len(factors["B"]))


def _print(found: list[Factorial], truth: Truth, levels_of_b: int) -> None:
    shown = [{t.name for t in one.shown} for one in found]
    by_f = sum(any(t.name == "A" and (t.p_holm or 1) < ALPHA for t in one.terms) for one in found)
    n = len(found)
    true_a = truth.main + truth.both / levels_of_b
    pairs = [held(one, true_a) for one in found] if not truth.both else []
    print(f"  {truth}")
    print(f"    any term {share(sum(map(bool, shown)), n)}")
    print(
        f"    A {share(sum('A' in s for s in shown), n)}, by F alone {share(by_f, n)}, A:B {share(sum('A:B' in s for s in shown), n)}"
    )
    if pairs:
        print(f"    coverage {share(sum(h for h, _ in pairs), sum(m for _, m in pairs))}", flush=True)
