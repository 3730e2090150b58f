"""Is early stopping fair? Searches in which nobody is better by his cycle lengths: how many does the rule stop, by them?

*Notations*
    T(s)      error of plain training, as the recorded runs of `benchmarks/data` have it, smoothed here in another way
              than the product smooths
    noise     of single evaluations, from one epoch to the next, as recorded; of the two runs or more of plain training
              that a study has, and in half of the studies of every trial at every rung
    offset    of a trial, the same at all its rungs, normal; so T + offset (+ noise) is its error
    best      the fifth with the smallest offsets

Trials are judged one after the other, as they come to their rungs. **Before**: a straight line between two points of a
rival, however far apart. **Lines within a stretch**: as a study without an arm `standard` has it. **Differences**: to the
mean of three runs of plain training. **Carried**: and a stopped rival counts with its last difference: the rule as it is.
**T known**: the same, with T itself in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.nonparametric.smoothers_lowess import lowess

from benchmarks.curves import plain_training
from benchmarks.truth.shares import share
from reprtune.spec.duration import Duration
from reprtune.spec.stop_rules import Median, StopRule, SuccessiveHalving
from reprtune.spec.training import TrainingSpec
from reprtune.stopping.curves import Rival, Standing
from reprtune.stopping.rungs import should_stop
from reprtune.stopping.standard import StandardCurve
from reprtune.stopping.stretches import stretches_of

EPOCHS, SLOTS, RUNS = 100, 32, 3
RATES = stretches_of(TrainingSpec(total=Duration.parse(f"{EPOCHS}ep")), 1)
PIECES = tuple(zip((0, 40, 70), (40, 70, EPOCHS), strict=True))
SETTLED = 10  # epochs after which single evaluations of the first stretch tell their noise
OFFSETS = {"digits": 0.005, "cifar10": 0.008}  # standard deviation over trials
MODES = ("before", "lines within a stretch", "differences", "carried", "T known")
CASES: tuple[tuple[str, StopRule, bool], ...] = (
    ("median", Median(), False),
    ("median, two objectives", Median(), True),
    ("successive halving", SuccessiveHalving(), False),
)
FEWEST = 30  # trials of one (S1, S2) that are shown


@dataclass(frozen=True)
class Truth:
    """T and the standard deviation of one evaluation, epoch by epoch; of offsets."""

    error: NDArray[np.float64]
    noise: NDArray[np.float64]
    offset: float

    def measured(self, rng: np.random.Generator) -> list[tuple[int, float]]:
        """A run of plain training."""
        errors = self.error + self.noise * rng.standard_normal(EPOCHS)
        return list(zip(range(1, EPOCHS + 1), errors.tolist(), strict=True))


@dataclass(frozen=True)
class Judged:
    """What became of a trial: its cycle lengths, how many rungs it would have had, its offset."""

    s1: int
    s2: int
    n_rungs: int
    offset: float
    stopped: bool


def truth(data: str) -> Truth:
    runs = np.array(plain_training(data).errors)
    error, noise = np.empty(EPOCHS), np.empty(EPOCHS)
    for first, last in PIECES:
        mean = runs.mean(axis=0)[first:last]
        error[first:last] = lowess(
            mean, np.log(np.arange(1, last - first + 1)), frac=0.6, it=0, return_sorted=False
        )
        settled = (runs - error)[:, max(first, SETTLED) : last]
        noise[first:last] = np.sqrt(np.mean(np.diff(settled, axis=1) ** 2) / 2)
    return Truth(error, noise, OFFSETS[data])


def search(
    of: Truth, rng: np.random.Generator, mode: str, rule: StopRule, *, several: bool, noisy: bool
) -> list[Judged]:
    """One search of the space of `repr-ablation`, trial by trial."""
    standard = plain_curve(of, rng, mode)
    rates = () if mode == "before" else RATES
    rivals: list[Rival] = []
    found: list[Judged] = []
    for _ in range(SLOTS):
        s1, s2, cycles = lengths(rng)
        offset = of.offset * rng.standard_normal()
        errors = of.error + offset + noisy * of.noise * rng.standard_normal(EPOCHS)
        ratio = 0.1 + 0.05 * rng.integers(0, 11)
        cost = float(1 - 0.9 * ratio * cycles * s2 / EPOCHS) if several else None
        rungs = range(s1 + s2 + s1, EPOCHS, s1 + s2)
        curve, stopped = [(s1, float(errors[s1 - 1]))], False
        for step in rungs:
            curve.append((step, float(errors[step - 1])))
            earlier = [at for at in rungs if at < step]
            stopped = should_stop(rule, Standing(step, curve[-1][1], cost, earlier=earlier, total=EPOCHS, stretches=rates, standard=standard), rivals)  # fmt: skip
            if stopped:
                break
        if not stopped:
            curve.append((EPOCHS, float(errors[-1])))
        rivals.append(Rival(curve, cost, rates, stopped and mode != "differences"))
        found.append(Judged(s1, s2, len(rungs), offset, stopped))
    return found


def plain_curve(of: Truth, rng: np.random.Generator, mode: str) -> StandardCurve | Exactly | None:
    """Of the runs that a study has; the same draws in every mode, so that the modes are judged on the same trials."""
    runs = [of.measured(rng) for _ in range(RUNS)]
    if mode in ("before", "lines within a stretch"):
        return None
    return Exactly(of.error) if mode == "T known" else StandardCurve(runs, RATES)


@dataclass(frozen=True)
class Exactly:
    """T in the place of measured runs."""

    error: NDArray[np.float64]
    stretches = RATES

    def at(self, step: int) -> float:
        return float(self.error[step - 1])


def lengths(rng: np.random.Generator) -> tuple[int, int, int]:
    """(S1, S2, cycles) that fit, in epochs."""
    while True:
        s1, s2, cycles = 5 * int(rng.integers(1, 7)), 5 * int(rng.integers(1, 5)), int(rng.integers(1, 5))
        if cycles * (s1 + s2) <= EPOCHS:
            return s1, s2, cycles


def searches(
    data: str, studies: int, mode: str, rule: StopRule, *, several: bool = False, noisy: bool = False
) -> list[Judged]:
    """All trials that had a rung, of so many searches."""
    of = truth(data)
    found = (
        search(of, np.random.default_rng(n), mode, rule, several=several, noisy=noisy) for n in range(studies)
    )
    return [judged for one in found for judged in one if judged.n_rungs]


def by(trials: Sequence[Judged], key: Callable[[Judged], object]) -> dict[object, list[bool]]:
    groups: dict[object, list[bool]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial.stopped)
    return groups


def spread(trials: Sequence[Judged]) -> float:
    """Standard deviation of the share stopped over the pairs (S1, S2), beyond what chance alone would give."""
    groups = by(trials, lambda t: (t.s1, t.s2)).values()
    p = float(np.mean([t.stopped for t in trials]))
    beyond = np.mean([(np.mean(g) - p) ** 2 - p * (1 - p) / len(g) for g in groups])
    return float(np.sqrt(max(0.0, float(beyond))))


def line(mode: str, trials: Sequence[Judged]) -> str:
    pairs = {key: g for key, g in by(trials, lambda t: (t.s1, t.s2)).items() if len(g) >= FEWEST}
    ordered = sorted(pairs, key=lambda key: float(np.mean(pairs[key])))
    ends = [f"{key} {100 * np.mean(pairs[key]):.0f} %" for key in (ordered[:1] + ordered[-1:])]
    rungs = by(trials, lambda t: min(t.n_rungs, 5))
    limit = float(np.quantile([t.offset for t in trials], 0.2))
    best = [t.stopped for t in trials if t.offset <= limit]
    return (
        f"  {mode}: stopped {share(sum(t.stopped for t in trials), len(trials))}, of the best {share(sum(best), len(best))}; "
        f"by rungs {', '.join(f'{k}: {100 * np.mean(rungs[k]):.0f}' for k in sorted(rungs, key=str))} %; "
        f"by (S1, S2) from {' to '.join(ends)}, {100 * spread(trials):.1f} points beyond chance"
    )


def main(studies: int) -> None:
    for data in OFFSETS:
        for name, rule, several in CASES:
            for noisy in (False, True):
                print(f"{data}, {name}, {'noise at every rung' if noisy else 'one offset per trial'}:")
                for mode in MODES:
                    found = searches(data, studies, mode, rule, several=several, noisy=noisy)
                    print(line(mode, found), flush=True)
