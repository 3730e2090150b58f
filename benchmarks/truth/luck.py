"""How often a search is said to have found more than luck: where nothing helps, and where something does.

*Notations*

    n, k     seeds of standard, slots of the search
    rho      share of the variance that the errors of all trials of one seed have in common
    before   gain > sd(standard) x the expected maximum of as many standard normal draws as there are complete trials
    after    gain > `chance` of `reprtune.analysis.luck`: its p is below 5 %

Errors are in units of their standard deviation; arrays have a row for each study.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

import numpy as np
from scipy import integrate, stats

from benchmarks.truth.fabricated import controls, draw, record, trial
from benchmarks.truth.shares import share
from reprtune.analysis.luck import best_of_search, chance, p_luck
from reprtune.analysis.paired import SeedValue, paired
from studies.repr_ablation import STUDY

Errors = np.ndarray
Draws = Callable[[tuple[int, int], np.random.Generator], Errors]
SEEDS, SLOTS = (3, 5, 10), (17, 32, 60, 300)
IMAGE = 1 / 288  # of the validation part of `digits`
ONE = 1  # seed of a trial


@functools.cache
def expected_gain(k: int) -> float:
    """Before: what the best of `k` standard normal draws is expected to gain."""
    x = np.linspace(-9, 9, 20_001)
    return float(integrate.trapezoid(x * k * stats.norm.pdf(x) * stats.norm.cdf(x) ** (k - 1), x))


def normal(shape: tuple[int, int], rng: np.random.Generator) -> Errors:
    return rng.standard_normal(shape)


def skewed(sign: int) -> Draws:
    """Lognormal with sigma 1: now and then a seed is far worse (sign 1), or far better (-1), than the others."""
    return lambda shape, rng: sign * np.exp(rng.standard_normal(shape))


def images(shape: tuple[int, int], rng: np.random.Generator) -> Errors:
    """Whole images of 288: 1.6 %, with a standard deviation of 0.5 points between seeds."""
    return np.round(rng.normal(0.016, 0.005, shape) / IMAGE).clip(0) * IMAGE


def shared(rho: float, n: int, k: int, studies: int, rng: np.random.Generator) -> tuple[Errors, Errors]:
    """Standard with seeds 0 to n - 1 and trials with seed 0, which have a part of their errors in common."""
    common = np.sqrt(rho) * rng.standard_normal((studies, n))
    own = np.sqrt(1 - rho)
    standard = common + own * rng.standard_normal((studies, n))
    return standard, common[:, :1] + own * rng.standard_normal((studies, k))


def stopped(trials: Errors, rng: np.random.Generator, rho: float = 0.3, warm_up: int = 5) -> Errors:
    """Which trials a median rule stops at its one rung, where errors correlate by `rho` with those at the end."""
    at_rung = rho * trials + np.sqrt(1 - rho**2) * rng.standard_normal(trials.shape)
    out = np.zeros(trials.shape, dtype=bool)
    for i in range(warm_up, trials.shape[1]):
        out[:, i] = at_rung[:, i] > np.median(at_rung[:, :i], axis=1)
    return out


def said(standard: Errors, trials: Errors, out: Errors | None = None) -> tuple[int, int, int]:
    """In how many studies "more than luck" is said, before and after; and how many have a spread to judge by."""
    n, k = standard.shape[1], trials.shape[1]
    out = np.zeros(trials.shape, dtype=bool) if out is None else out
    gain = standard.mean(axis=1) - np.where(out, np.inf, trials).min(axis=1)
    sd = standard.std(axis=1, ddof=1)
    counted = k - out.sum(axis=1)
    expected = {int(m): expected_gain(int(m)) for m in np.unique(counted)}
    before = gain > sd * np.array([expected[int(m)] for m in counted])
    judged = sd > 1e-12
    return (
        int((before & judged).sum()),
        int(((gain > sd * chance(n, ((ONE, k),))) & judged).sum()),
        int(judged.sum()),
    )


def main(studies: int) -> None:
    rng = np.random.default_rng(11)
    print("Nothing helps: said to be more than luck, without and with a median rule that stops")
    for n in SEEDS:
        for k in SLOTS:
            standard, trials = rng.standard_normal((studies, n)), rng.standard_normal((studies, k))
            _row(f"n {n:2} k {k:3}", said(standard, trials))
            _row(f"n {n:2} k {k:3}, stopping", said(standard, trials, stopped(trials, rng)))
    _other_errors(studies, rng)
    _power(studies, rng)
    _drawn_again(studies, rng)
    _of_records(studies)
    _flattered(studies, rng)


def _other_errors(studies: int, rng: np.random.Generator) -> None:
    print("Nothing helps, errors of other kinds")
    for n in SEEDS:
        for k in (17, 60):
            for rho in (0.0, 0.5, 0.9):
                _row(f"n {n:2} k {k:2}, rho {rho}", said(*shared(rho, n, k, studies, rng)))
            kinds: dict[str, Draws] = {
                "skewed to worse": skewed(1),
                "skewed to better": skewed(-1),
                "whole images": images,
            }
            for name, drawn in kinds.items():
                _row(f"n {n:2} k {k:2}, {name}", said(drawn((studies, n), rng), drawn((studies, k), rng)))


def _power(studies: int, rng: np.random.Generator) -> None:
    print("Something helps, by so many standard deviations: one setting, a tenth of them, or all of them")
    for n in SEEDS:
        for k in (17, 60):
            for gain in (1, 2, 3):
                for name, share_of in (("one", 1 / k), ("a tenth", 0.1), ("all", 1.0)):
                    trials = rng.standard_normal((studies, k))
                    trials[:, : max(1, round(share_of * k))] -= gain
                    _row(
                        f"n {n:2} k {k:2}, {gain} sd, {name}", said(rng.standard_normal((studies, n)), trials)
                    )


def _drawn_again(studies: int, rng: np.random.Generator) -> None:
    """A sampler that returns to what looked best: half of the slots train the best setting so far with a further seed."""
    print("Nothing helps, every other slot repeats the best setting so far, whose error is then a mean")
    for n in SEEDS:
        before = after = 0
        for _ in range(studies):
            settings = _returning(32, rng)
            standard = rng.standard_normal(n)
            t = (standard.mean() - min(map(np.mean, settings))) / standard.std(ddof=1)
            before += bool(t > expected_gain(len(settings)))
            after += p_luck(float(t), n, tuple(sorted(Counter(map(len, settings)).items()))) < 0.05
        _row(f"n {n:2} k 32, drawn again", (before, after, studies))


def _returning(slots: int, rng: np.random.Generator) -> list[list[float]]:
    """Errors of every setting, seed by seed."""
    settings = [[float(rng.standard_normal())]]
    for _ in range(slots - 1):
        best = min(settings, key=lambda errors: sum(errors) / len(errors))
        new = float(rng.standard_normal())
        if rng.random() < 0.5:
            best.append(new)
        else:
            settings.append([new])
    return settings


def _of_records(studies: int) -> None:
    """The same through records of studies, with all that the product reads: 32 slots, half of them stopped."""
    before = after = 0
    for number in range(studies):
        rng = np.random.default_rng([11, number])
        trials = [
            trial(
                i,
                float(rng.normal(0.05, 0.005)),
                draw(STUDY, rng),
                outcome="stopped" if i % 2 else "complete",
            )
            for i in range(32)
        ]
        arms = controls(0.05, 0.005, rng, ("standard",), (0, 1, 2))
        best = best_of_search(record(trials, arms))
        assert best is not None
        assert best.to_standard is not None
        assert best.p_luck is not None
        sd = np.std([t.values["val_error"] for t in arms if t.values], ddof=1)
        before += bool(-best.to_standard > sd * expected_gain(best.n_settings))
        after += best.p_luck < 0.05
    print("Nothing helps, through records, n 3 k 32, 16 of them stopped")
    _row("n  3 k  32, records", (before, after, studies))


def _flattered(studies: int, rng: np.random.Generator) -> None:
    """What is said of the selection is wrong where the true mean of the chosen setting, 0, is on the other side of the
    number that it was chosen by. Before, the mean over fresh seeds alone told."""
    print("What the selection added: wrongly said to have flattered or not to have, best of k equal trials")
    for k in (1, 3, 32):
        for n in (2, *SEEDS):
            before = after = silent = 0
            for _ in range(studies):
                chosen = float(rng.standard_normal(k).min())
                fresh = [SeedValue(seed=i, value=float(e)) for i, e in enumerate(rng.standard_normal(n))]
                d = paired(fresh, [SeedValue(seed=v.seed, value=chosen) for v in fresh])
                assert d is not None
                before += (d.mean >= 0) != (chosen <= 0)
                open_ = d.low is None or d.high is None or d.low <= 0 <= d.high
                silent += open_
                after += not open_ and (d.mean > 0) != (chosen < 0)
            _row(f"fresh {n:2} k {k:2}, silent {100 * silent / studies:.0f} %", (before, after, studies))


def _row(what: str, found: tuple[int, int, int]) -> None:
    before, after, n = found
    print(f"  {what:28} before {share(before, n):36} after {share(after, n)}")
