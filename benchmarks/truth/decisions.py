"""How often a decision rule says that something helps which does not, and how often it sees what does.

Before: the rule that `repr-ablation` had in words, "beats the standard arm by more than the spread over its seeds",
applied to the best validation error and the three seeds of standard. After: `reprtune.analysis.decisions` with the rules
that study has now, four of them. Errors are independent normal draws with one spread, so that the difference of two arms
has a spread of 1.41 sd. Errors of a search are drawn afresh for every trial, those of a confirmation for every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.truth.fabricated import record, search, trial
from benchmarks.truth.shares import share
from reprtune.analysis.decisions import Decided, Verdict, decisions
from reprtune.record.leaders import leader_arm, leaders
from reprtune.record.schema import TrialRecord
from reprtune.spec.decisions import LEADER, Rule
from reprtune.spec.study import Arm, Arms, StudySpec, named
from studies.repr_ablation import STUDY

MEAN, SD = 0.1, 0.01
SLOTS = (17, 32, 60)
GAINS = (1.0, 2.0, 3.0)  # true ones, in sd
FRESH = (5, 6, 7, 8, 9)
ARMS = tuple(f"arm-{i}" for i in range(14))
CONTROLS = ("standard", "random")
OF_ARMS = StudySpec(
    name="arms", question="Which arm helps?", cost="-",
    sections=(Arms(design=named(*(Arm(name=name) for name in (*CONTROLS, *ARMS))), seeds=(0, 1, 2, 3, 4)),),
    rules=tuple(Rule(arm=arm, control=control) for control in CONTROLS for arm in ARMS),
)  # fmt: skip


def main(studies: int) -> None:
    print(
        "The best of a search in which nothing helps, before: more than the sd of three seeds below standard"
    )
    for k in SLOTS:
        print(f"  {k} trials: helps {share(sum(before(k, i) for i in range(studies)), studies)}")
    print("after: confirmed on five seeds; a rule on it, of four in all")
    for k in SLOTS:
        print(f"  {k} trials: {_said([leading(k, 0.0, i) for i in range(studies)])}")
    for gain in GAINS:
        found = [leading(32, gain, i) for i in range(studies)]
        print(f"  32 trials, all {gain:g} sd better in truth: {_said(found)}")
    print(f"{len(ARMS)} arms, each against {len(CONTROLS)} controls, five seeds: any rule of a study")
    print(f"  nothing helps: {_said([arms(0.0, i) for i in range(studies)])}")
    for gain in GAINS:
        found = [[d for d in arms(gain, i) if d.rule.arm == ARMS[0]] for i in range(studies)]
        print(f"  the rules on one arm that is {gain:g} sd better in truth: {_said(found)}")


def _said(found: Sequence[Sequence[Decided]]) -> str:
    """In how many studies any of the rules says helps, and harms."""
    words = []
    for verdict in (Verdict.HELPS, Verdict.HARMS):
        hits = sum(any(one.verdict is verdict for one in study) for study in found)
        words.append(f"{verdict.value} {share(hits, len(found))}")
    return ", ".join(words)


def before(k: int, number: int) -> bool:
    """Is the old rule met in this study of `k` trials that all are as standard is?"""
    rng = np.random.default_rng([number, k])
    trials, standard = rng.standard_normal(k), rng.standard_normal(3)
    return bool(standard.mean() - trials.min() > standard.std(ddof=1))


def leading(k: int, gain: float, number: int) -> list[Decided]:
    """What is decided of the best of `k` trials that are `gain` sd better than every control in truth."""
    rng = np.random.default_rng([number, k])
    trials = search(lambda _, rng: float(rng.normal(MEAN - gain * SD, SD)), k, rng)
    best = leader_arm(leaders(record(trials), 1)[0].slot)
    means = {**{arm.name: 0.0 for arm in STUDY.arms}, best: gain}
    found = decisions(record(trials, confirmation=_runs(means, FRESH, rng, "confirmation")))
    return [one for one in found if one.rule.arm == LEADER]


def arms(gain: float, number: int) -> tuple[Decided, ...]:
    """What is decided of arms by their declared seeds, the first of them `gain` sd better than all others in truth."""
    rng = np.random.default_rng([number, len(ARMS)])
    means = {**{arm.name: 0.0 for arm in OF_ARMS.arms}, ARMS[0]: gain}
    return decisions(record((), _runs(means, (0, 1, 2, 3, 4), rng, "arms"), spec=OF_ARMS))


def _runs(
    gains: Mapping[str, float], seeds: Sequence[int], rng: np.random.Generator, section: str
) -> list[TrialRecord]:
    """A complete run of every arm with every seed."""
    cells = [(arm, gain, seed) for arm, gain in gains.items() for seed in seeds]
    errors = rng.normal([MEAN - gain * SD for _, gain, _ in cells], SD)
    return [
        replace(trial(i, error, {}, arm=arm, seed=seed, section=section, test=error), slot=i)
        for i, ((arm, _, seed), error) in enumerate(zip(cells, map(float, errors), strict=True))
    ]
