"""How often a search, or its confirmed leader, is said to beat plain training of its cost: where errors depend on the cost
alone, and where something helps.

*Notations*

    c         cost of a training in units of standard's
    truth(c)  error of a training of that cost, whatever it does: BEND falls by half with every factor of 2 in the cost
              above a floor, which is bent over ln c; LINE falls by as much with every doubling
    sd        of errors around it; rho: the share of its square that all trainings of one seed have in common
    before    what is seen with the eye: some trial of the front lies below the curve; of a leader, the mean of its
              errors lies below the curve of means
    after     p < 5 % of `front_beside_curve`; of a leader, its difference in the confirmation is below 0 with p < 5 % (Holm)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.truth.fabricated import draw, gflops, record, trial
from benchmarks.truth.shares import share
from reprtune.analysis.confirmation import confirmation
from reprtune.analysis.plain_curve import front_beside_curve
from reprtune.record.leaders import leader_arm
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.decisions import PLAIN
from studies.repr_ablation import STUDY

SD = 0.004
LENGTHS = {arm: float(total.value) / 100 for arm, total in STUDY.lengths.items()}
OTHERS = tuple(arm.name for arm in STUDY.arms if arm.name not in LENGTHS)


def bend(c: float) -> float:
    return 0.01 + 0.02 / c


def line(c: float) -> float:
    return 0.03 - 0.01 * math.log2(c)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """gain: how much lower trials that drop filters end. shorter: how much larger sd is at 40 % of the steps, in
    parts of SD. stops: is the worse half of the search cut short?"""

    name: str
    curve: Callable[[float], float] = bend
    rho: float = 0.0
    seeds: int = 3
    slots: int = 32
    gain: float = 0.0
    shorter: float = 0.0
    stops: bool = False

    def error(self, c: float, seed: int, common: np.ndarray, rng: np.random.Generator) -> float:
        sd = SD * (1 + self.shorter * max(0.0, 1 - c) / 0.6)
        noise = math.sqrt(self.rho) * common[seed] + math.sqrt(1 - self.rho) * rng.standard_normal()
        return max(0.0, self.curve(c) + sd * float(noise))


def arms(truth: Truth, seeds: range, common: np.ndarray, rng: np.random.Generator) -> list[TrialRecord]:
    """All arms of the ablation; test errors are of the same kind as validation errors."""
    cells = [(arm, seed) for arm in (*LENGTHS, *OTHERS) for seed in seeds]
    made = []
    for i, (arm, seed) in enumerate(cells):
        c = LENGTHS.get(arm, 0.92)
        error = truth.error(c, seed, common, rng)
        made.append(trial(i, error, {}, arm=arm, seed=seed, test=error, cost=100 * c))
    return made


def searched(truth: Truth, common: np.ndarray, rng: np.random.Generator) -> list[TrialRecord]:
    """The search, all of it with seed 0."""
    drawn = [draw(STUDY, rng) for _ in range(truth.slots)]
    errors = [truth.error(gflops(p) / 100, 0, common, rng) - truth.gain for p in drawn]
    worst = np.median(errors) if truth.stops else math.inf
    return [
        trial(i, error, params, outcome="complete" if error <= worst else "stopped")
        for i, (params, error) in enumerate(zip(drawn, errors, strict=True))
    ]


def study(truth: Truth, rng: np.random.Generator, fresh: int = 0) -> StudyRecord:
    """With a confirmation on `fresh` seeds of the leader, where there are some."""
    common = rng.standard_normal(truth.seeds + fresh)
    trials, declared = searched(truth, common, rng), arms(truth, range(truth.seeds), common, rng)
    if not fresh:
        return record(trials, declared)
    seeds = range(truth.seeds, truth.seeds + fresh)
    best = min((t for t in trials if t.outcome == "complete"), key=lambda t: (t.values or {})["val_error"])
    cost = gflops(best.params)
    errors = [truth.error(cost / 100, seed, common, rng) - truth.gain for seed in seeds]
    again = [
        trial(1000 + i, e, best.params, arm=leader_arm(best.slot), seed=seed, section="confirmation", test=e, cost=cost)
        for i, (e, seed) in enumerate(zip(errors, seeds, strict=True))
    ]  # fmt: skip
    return record(trials, declared, [*again, *arms(truth, seeds, common, rng)])


def front_said(truth: Truth, studies: int) -> tuple[int, int]:
    """(before, after) of searches."""
    before = after = 0
    for n in range(studies):
        found = front_beside_curve(study(truth, np.random.default_rng([n, truth.slots, truth.seeds])))
        before += found is not None and found.below > 0
        after += found is not None and found.is_more_than_chance
    return before, after


def leader_said(truth: Truth, fresh: int, studies: int) -> tuple[int, int]:
    """(before, after) of confirmed leaders."""
    before = after = 0
    for n in range(studies):
        found = confirmation(study(truth, np.random.default_rng([n, fresh, 7]), fresh))
        ours = next((c for c in found.comparisons if c.control == PLAIN), None) if found else None
        before += bool(ours and ours.difference and ours.difference.mean < 0)
        after += bool(ours and ours.is_shown and ours.difference and ours.difference.mean < 0)
    return before, after


NULLS = (
    Truth(name="bent"),
    Truth(name="line", curve=line),
    Truth(name="bent, rho = 0.5", rho=0.5),
    Truth(name="bent, 5 seeds", seeds=5),
    Truth(name="bent, 10 seeds", seeds=10),
    Truth(name="bent, 120 slots", slots=120),
    Truth(name="bent, shorter spread 1.5 times", shorter=0.5),
    Truth(name="bent, half stopped", stops=True),
)
GAINS = tuple(
    Truth(name=f"bent, {gain} sd lower", gain=gain * SD) for gain in (2, 4)
) + tuple(Truth(name=f"bent, 10 seeds, {gain} sd lower", seeds=10, gain=gain * SD) for gain in (2, 4))  # fmt: skip


def main(studies: int) -> None:
    print(
        f"Sd of errors {100 * SD:.1f} points; plain training of 0.4 to 1 times the length, 3 seeds, 32 slots."
    )
    for what, truths in (("nothing helps", NULLS), ("everything helps", GAINS)):
        print(f"The front of a search, where {what}")
        for truth in truths:
            before, after = front_said(truth, studies)
            print(f"  {truth.name}: before {share(before, studies)}; after {share(after, studies)}")
        print(f"The leader, confirmed, where {what}")
        for truth in truths[:3] if truths is NULLS else truths[:2]:
            for fresh in (5, 10):
                before, after = leader_said(truth, fresh, studies)
                print(
                    f"  {truth.name}, {fresh} fresh seeds: before {share(before, studies)}; after {share(after, studies)}"
                )
