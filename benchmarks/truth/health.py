"""How often does a check warn of a healthy study, and of a sick one? Before, there were none: nothing was ever said.

Each check on studies of known truth, `repr-ablation` drawn anew: healthy ones (an effect of the prune ratio, no budget
that is short, one slot in twenty diverges), and those with the one fault that the check is there for. Warnings of healthy
studies are false alarms. A check whose answer is a p-value or an estimate may be wrong in about 5 % of them; one that counts
seeds or slots cannot be wrong at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.truth.fabricated import EPOCHS, controls, draw, record, search, trial
from benchmarks.truth.shares import share
from reprtune.analysis import health
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import COST, ERROR
from studies.repr_ablation import STUDY

N = 40  # slots
SLOW = ("effect",)  # half a minute each: a fiftieth of the studies
ARMS = ("standard", "paper", "random-drop")
Rng = np.random.Generator


def searched(rng: Rng, slope: float = 0.1, sd: float = 0.005, diverging: float = 0.05) -> list[TrialRecord]:
    """The error rises by `slope` with the prune ratio, from 0.1 to 0.6, with noise of `sd`."""
    trials = search(lambda p, r: 0.1 + slope * p["prune_ratio"] + r.normal(0, sd), N, rng)
    return [
        trial(t.number, 0.0, t.params, outcome="diverged") if rng.random() < diverging else t for t in trials
    ]


def study(rng: Rng, sd: float = 0.005, seeds: int = 5, **how: float) -> StudyRecord:
    return record(searched(rng, sd=sd, **how), controls(0.135, sd, rng, ARMS, range(seeds)))


def budgeted(rng: Rng, share_: float) -> StudyRecord:
    """Ten of forty slots are finished, of about 10 seconds each (sd 3); the limit is `share_` of what all will take."""
    took = np.maximum(1.0, rng.normal(10, 3, N))
    assert STUDY.search is not None
    spec = STUDY.with_section(replace(STUDY.search, slots=N, max_seconds=share_ * float(took.sum())))
    trials = searched(rng, diverging=0)[:10]
    done = [
        replace(t, result={**t.result, "seconds_spent": float(s)}) for t, s in zip(trials, took, strict=False)
    ]
    waiting = [trial(i, 0.0, draw(spec, rng), outcome="waiting") for i in range(10, N)]
    return replace(record([*done, *waiting], spec=spec), spent=(float(took[:10].sum()), 0.0))


def repeating(rng: Rng, n_repeats: int) -> StudyRecord:
    trials = searched(rng)
    return record([replace(t, repeats=0) if 0 < t.slot <= n_repeats else t for t in trials])


def infeasible(rng: Rng, fitting: float) -> StudyRecord:
    """Draws are drawn again until one fits."""
    trials = searched(rng)
    n = int(rng.negative_binomial(N, fitting))
    again = [
        replace(trial(N + i, 0.0, trials[i % N].params, outcome="infeasible"), slot=i % N) for i in range(n)
    ]
    return record([*trials, *again])


def judged(rng: Rng, early: float) -> StudyRecord:
    """Rungs at 30 and 60 % of the training, which rank trials as their end does, but for noise of `early`."""
    trials = []
    for t in searched(rng, diverging=0):
        assert t.values is not None
        assert t.history is not None
        end = t.values[ERROR]
        rungs = tuple((at, end + (EPOCHS - at) / 500 + float(rng.normal(0, early))) for at in (30, 60))
        story = replace(t.history, rungs=tuple(at for at, _ in rungs))
        trials.append(replace(t, history=story, rungs=(*rungs, (EPOCHS, end)), planned_gflops=t.values[COST]))
    return record(trials)


Make = Callable[[Rng], StudyRecord]
# Check -> studies that it must not warn of, and that it must warn of.
TRUTHS: dict[str, tuple[tuple[str, Make], ...]] = {
    "divergence": (
        ("one in twenty diverges", study),
        ("three of four diverge", lambda rng: study(rng, diverging=0.75)),
    ),
    "budget": (
        ("the limit is what all take", lambda rng: budgeted(rng, 1.0)),
        ("the limit is 1.2 times of it", lambda rng: budgeted(rng, 1.2)),
        ("the limit is 0.6 of it", lambda rng: budgeted(rng, 0.6)),
    ),
    "draws": (
        ("half of the draws fit", lambda rng: infeasible(rng, 0.5)),
        ("one in five fits", lambda rng: infeasible(rng, 0.2)),
    ),
    "repeats": (
        ("none is drawn again", study),
        ("ten of forty are", lambda rng: repeating(rng, 10)),
    ),
    "prediction": (
        ("an effect of 5 points, noise of 0.5", study),
        ("nothing matters", lambda rng: study(rng, slope=0)),
    ),
    "effect": (
        ("an effect of 5 points, noise of 0.5", study),
        ("nothing matters", lambda rng: study(rng, slope=0)),
    ),
    "stopping": (
        ("rungs rank like the end", lambda rng: judged(rng, 0.0)),
        ("rungs say little of the end", lambda rng: judged(rng, 0.1)),
    ),
    "luck": (("five seeds of standard", study), ("three seeds of standard", lambda rng: study(rng, seeds=3))),
    "arms-seeds": (
        ("five seeds, noise of 0.2 of 13.5 %", lambda rng: study(rng, sd=0.002)),
        ("three seeds, noise of 1 of 13.5 %", lambda rng: study(rng, sd=0.01, seeds=3)),
    ),
}


def warned(name: str, make: Make, studies: int) -> int:
    """In how many of so many studies."""
    check = health.CHECKS[name][1]
    return sum(check(make(np.random.default_rng([7, i]))).fails for i in range(studies))


def main(studies: int, names: Sequence[str] = tuple(TRUTHS)) -> None:
    for name in names:
        n = max(10, studies // 50) if name in SLOW else studies
        for truth, make in TRUTHS[name]:
            print(f"{name:12} {truth:38} before never, after {share(warned(name, make, n), n)}", flush=True)
