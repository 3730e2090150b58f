"""Arms that are tuned before they are compared: how often something is said where no arm is better than another.

What is simulated is what the product does: cells are asked for by `next_work`, recorded with an error, and judged by
`decisions`. No setting differs from another but by noise; so all that a try is better by is luck.

*Notations*

    fresh      as the product does it: the best of `TRIES` tries by one validation error, then `SEEDS` seeds that no try has
               had, on the test part
    reused     what it must not do: every try has the seeds of the comparison, and the best one, by their mean validation
               error, is compared by these very errors
    alike      every arm has the field that is tuned
    control without   the control has nothing to tune, as plain training has no share of filters to drop: all its tries are one
               and the same
    says       share of studies in which any rule says anything, of m arms against `standard`; helps: that one helps
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.truth.fabricated import FACTS
from benchmarks.truth.shares import share
from reprtune.analysis.decisions import Verdict, decisions
from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import SeedValue, compared, holm
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest
from reprtune.spec.objectives import COST, ERROR
from reprtune.spec.space import FloatRange
from reprtune.spec.study import Arm, Arms, StudySpec, Tune, named
from reprtune.study.sections.next_work import next_work

LEVEL, SEED_SD, NOISE = 0.05, 0.003, 0.004  # mean error; sd of what a seed does to all arms; sd of one run
TRIES, SEEDS = 8, 5
ARMS = (1, 5)  # beside standard
SPACES = {
    "alike": {"training.lr": FloatRange(low=0.001, high=0.1, log=True)},
    "control without": {"method.prune_ratio": FloatRange(low=0.1, high=0.5)},
}
Errors = Callable[[Mapping[str, Any], int], tuple[float, float]]


def study(n_arms: int, space: Mapping[str, FloatRange]) -> StudySpec:
    arms = [Arm(name="standard", changes={"method": "standard"})]
    arms += [Arm(name=f"arm-{i}", changes={"method.restore_lr_scale": 0.1 * i, "method.restore_lr": "scaled"}) for i in range(1, n_arms + 1)]  # fmt: skip
    section = Arms(design=named(*arms), seeds=tuple(range(SEEDS)), tune=Tune(space=space, tries=TRIES))
    return StudySpec(name="tuned", question="?", cost="nothing", sections=(section,))


def noise(rng: np.random.Generator) -> Errors:
    """Validation and test error; the same setting with the same seed has the same."""
    of_seed = dict[int, float]()
    known = dict[tuple[Any, ...], tuple[float, float]]()

    def errors(settings: Mapping[str, Any], seed: int) -> tuple[float, float]:
        key = (*sorted(settings.items()), seed)
        if key not in known:
            level = LEVEL + of_seed.setdefault(seed, SEED_SD * float(rng.standard_normal()))
            on_val, on_test = (level + NOISE * rng.standard_normal(2)).tolist()
            known[key] = (on_val, on_test)
        return known[key]

    return errors


def finished(spec: StudySpec, errors: Errors) -> StudyRecord:
    """What the product asks for, recorded until it asks for nothing more."""
    record = StudyRecord(spec=spec, digest=digest(spec), facts=FACTS, created=0.0, version="0")
    while True:
        there = record.of("arms")
        known = {(t.arm, t.seed) for t in there}
        cells = [cell for cell in next_work(record)["arms"] if cell.key not in known]
        if not cells:
            return record
        new = []
        for n, cell in enumerate(cells, len(there)):
            on_val, on_test = errors(cell.settings or {}, cell.seed or 0)
            is_try = spec.comparisons[0].is_try(cell.arm)
            new.append(
                TrialRecord(
                    section="arms", number=n, slot=n, arm=cell.arm, seed=cell.seed or 0, settings=cell.settings,
                    outcome=Outcome.COMPLETE, values={ERROR: on_val, COST: 100.0},
                    result={} if is_try else {"test_error": on_test},
                )
            )  # fmt: skip
        record = replace(record, attempts={"arms": (*there, *new)})


def fresh(spec: StudySpec, errors: Errors) -> set[Verdict]:
    """What the product says."""
    return {one.verdict for one in decisions(finished(spec, errors))}


def reused(spec: StudySpec, errors: Errors) -> set[Verdict]:
    """What would be said by the errors that were chosen by."""
    section = spec.comparisons[0]
    assert section.tune is not None
    arms = [
        _best([[errors(one.changes, seed)[0] for seed in section.seeds] for one in section.tune.tried(arm, spec.base)])
        for arm in section.arms(spec.base)
    ]  # fmt: skip
    found = [compared("arm", "standard", ours, arms[0], measured_on="validation") for ours in arms[1:]]
    ps = holm([one.p for one in found])
    shown = [one.difference for one, p in zip(found, ps, strict=True) if p is not None and p < ALPHA]
    return {Verdict.HELPS if d.mean < 0 else Verdict.HARMS for d in shown if d is not None}


def _best(tries: Sequence[Sequence[float]]) -> tuple[SeedValue, ...]:
    best = min(tries, key=sum)
    return tuple(SeedValue(seed=seed, value=value) for seed, value in enumerate(best))


def main(studies: int) -> None:
    for m in ARMS:
        for name, space in SPACES.items():
            for how, says in (("fresh", fresh), ("reused", reused)):
                rng, spec = np.random.default_rng(37), study(m, space)
                found = [says(spec, noise(rng)) for _ in range(studies)]
                anything = sum(bool(one & {Verdict.HELPS, Verdict.HARMS}) for one in found)
                helps = sum(Verdict.HELPS in one for one in found)
                print(
                    f"  m {m:2}  {name:16} {how:7} says {share(anything, studies)}  helps {share(helps, studies)}",
                    flush=True,
                )
