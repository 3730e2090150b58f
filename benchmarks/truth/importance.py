"""Importance, where it is known what matters: nothing, one parameter, one that a stop rule has sorted by.

Before, a page showed bars whose first one leads, from complete trials, with the 5 % and 95 % of its share over random halves.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.truth import fabricated
from benchmarks.truth.shares import share
from reprtune.analysis import evaluators, predictability, ranges
from reprtune.analysis.chance import p_values
from reprtune.analysis.importance import seen_by
from reprtune.analysis.level import ALPHA
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import ERROR
from studies.repr_ablation import STUDY

PARAMS = dict(STUDY.params)
LEVELS = {"ortho": -1.4, "ortho-dim": 0.0, "l2": 0.0, "random": 1.4}
EFFECT = 0.6  # of the parameter that matters, in standard deviations of the noise
FEWER = 5  # studies with forests are a fifth
N_PARTS = 40  # a range of fewer halves than the product's


def main(studies: int) -> None:
    some = max(1, studies // FEWER)
    for n in (30, 100):
        _nothing("ped-anova", n, studies)
        _nothing("fanova", n, some)
        _adaptive(n, some // 2)
    for matters in ("prune_ratio", "cycles", "criterion"):
        for method in evaluators.METHODS:
            _one(method, matters, 100, some)
    for rule in ("none", "median", "random"):
        _stopped(rule, some)
    _ranges(30, some)
    _ranges(100, some)
    for effect in (0.0, EFFECT, 1.2):
        _predictable(effect, some)


def _study(
    n: int, rng: np.random.Generator, matters: str | None = None, effect: float = EFFECT
) -> StudyRecord:
    def truth(params: Mapping[str, Any], rng: np.random.Generator) -> float:
        return (0.0 if matters is None else effect * _size(matters, params[matters])) + float(rng.normal())

    return fabricated.record(fabricated.search(truth, n, rng))


def _size(name: str, value: Any) -> float:
    """A setting in units of about one standard deviation of the draws."""
    if name == "criterion":
        return LEVELS[value]
    return float((value - 0.35) / 0.16 if name == "prune_ratio" else (value - 2) / 0.9)


def _named(record: StudyRecord, method: str) -> tuple[str, set[str]]:
    """The parameter of the first bar, and those that are said to matter."""
    seen = seen_by(record, ERROR, method)
    found = evaluators.shares(seen.rows, PARAMS, seen.best_share) or {}
    p = p_values(seen.rows, PARAMS, method, seen.best_share, 0)
    return max(found, key=found.__getitem__), {name for name in p if p[name] < ALPHA}


def _say(text: str) -> None:
    print(text, flush=True)


def _nothing(method: str, n: int, studies: int) -> None:
    found = [_named(_study(n, np.random.default_rng([n, i])), method) for i in range(studies)]
    first = Counter(name for name, _ in found).most_common(1)[0]
    _say(
        f"nothing matters, {n} trials, {method}: before, a first bar in 100 %, {first[0]} in {share(first[1], studies)}; "
        f"after, some parameter said to matter in {share(sum(bool(named) for _, named in found), studies)}"
    )


def _adaptive(n: int, studies: int) -> None:
    """Draws that follow the best so far, as samplers' do: half of them are the best with one setting drawn anew."""
    hits = 0
    for i in range(studies):
        rng = np.random.default_rng([2, n, i])
        trials: list[Any] = []
        while len(trials) < n:
            params = fabricated.draw(STUDY, rng)
            if len(trials) >= 10 and rng.random() < 0.5:
                best = min(trials, key=lambda t: t.values[ERROR]).params
                name = str(rng.choice(list(params)))
                params = {**best, name: params[name]}
            trials.append(fabricated.trial(len(trials), float(rng.normal()), params))
        hits += bool(_named(fabricated.record(trials), "ped-anova")[1])
    _say(
        f"nothing matters, {n} trials that follow the best, ped-anova: after, some parameter in {share(hits, studies)}"
    )


def _one(method: str, matters: str, n: int, studies: int) -> None:
    found = [_named(_study(n, np.random.default_rng([3, n, i]), matters), method) for i in range(studies)]
    _say(
        f"only {matters} matters, {n} trials, {method}: its bar is first in "
        f"{share(sum(first == matters for first, _ in found), studies)}; said to matter in "
        f"{share(sum(matters in named for _, named in found), studies)}, another one in "
        f"{share(sum(bool(named - {matters}) for _, named in found), studies)}"
    )


def _stopped(rule: str, studies: int) -> None:
    """Only prune_ratio matters; what a rung sees is half noise of its own."""
    told: dict[str, list[tuple[float, bool]]] = {"before": [], "after": [], "fanova": []}
    for i in range(studies):
        record = _with_stops(rule, np.random.default_rng([4, i]))
        complete, seen = seen_by(record, ERROR, "fanova"), seen_by(record, ERROR, "ped-anova")
        answers = {
            "before": evaluators.shares(complete.rows, PARAMS, max(0.1, 5 / len(complete.rows))),
            "after": evaluators.shares(seen.rows, PARAMS, seen.best_share),
            "fanova": evaluators.shares(complete.rows, PARAMS, None, forest=ranges.HALF_FOREST),
        }
        for name, found in answers.items():
            known = found or {}
            told[name].append((known["prune_ratio"], max(known, key=known.__getitem__) == "prune_ratio"))
    words = [
        f"{name} {np.mean([s for s, _ in rows]):.2f}, first in {share(sum(f for _, f in rows), studies)}"
        for name, rows in told.items()
    ]
    _say(f"only prune_ratio matters, 120 slots, stop rule {rule}, its share: {'; '.join(words)}")


def _with_stops(rule: str, rng: np.random.Generator) -> StudyRecord:
    trials: list[Any] = []
    rungs: list[float] = []
    for i in range(120):
        params = fabricated.draw(STUDY, rng)
        mean, noise = _size("prune_ratio", params["prune_ratio"]), rng.normal()
        rung = mean + 0.7 * (0.6 * noise + 0.8 * rng.normal())
        stops = {
            "none": False,
            "median": len(rungs) >= 5 and rung > float(np.median(rungs)),
            "random": bool(rng.random() < 0.5),
        }[rule]
        rungs.append(rung)
        outcome = "stopped" if stops else "complete"
        trials.append(fabricated.trial(i, mean + 0.7 * noise, params, outcome=outcome))
    return fabricated.record(trials)


def _ranges(n: int, studies: int) -> None:
    """PED-ANOVA; only cycles matters. What a range should hold is the mean share over all these studies."""
    own, before, after = [], [], []
    for i in range(studies):
        seen = seen_by(_study(n, np.random.default_rng([5, n, i]), "cycles", 1.0), ERROR, "ped-anova")
        own.append(evaluators.shares(seen.rows, PARAMS, seen.best_share) or {})
        before.append(_before(seen.rows, i))
        found, _, _ = ranges.stability(own[-1], seen.rows, PARAMS, "ped-anova", seen.best_share, i)
        after.append({name: (s.low, s.high) for name, s in found.items()})
    mean = {name: float(np.mean([shares[name] for shares in own])) for name in PARAMS}
    for word, answers in (("before", before), ("after", after)):
        outside = sum(
            not a[j][0] <= s[j] <= a[j][1] for a, s in zip(answers, own, strict=True) for j in PARAMS
        )
        held = sum(a[j][0] <= mean[j] <= a[j][1] for a in answers for j in PARAMS)
        total = studies * len(PARAMS)
        _say(
            f"ranges of 90 %, {n} trials, {word}: own share outside {share(outside, total)}, mean share inside {share(held, total)}"
        )


def _before(seen: Sequence[Any], seed: int) -> dict[str, tuple[float, float]]:
    rng, half = random.Random(seed), len(seen) // 2
    parts = [rng.sample(list(seen), half) for _ in range(N_PARTS)]
    found = [s for part in parts if (s := evaluators.shares(part, PARAMS, max(0.1, 5 / half)))]
    ends = {name: np.quantile([s[name] for s in found], (0.05, 0.95)) for name in PARAMS}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _predictable(effect: float, studies: int) -> None:
    for n in (30, 100):
        found = [
            predictability.predictability(_study(n, np.random.default_rng([6, n, i]), "cycles", effect))
            or 0.0
            for i in range(studies // 2)
        ]
        little = sum(r2 < predictability.LITTLE for r2 in found)
        _say(
            f"true R^2 {effect**2 / (1 + effect**2):.2f}, {n} trials: predictability {np.mean(found):+.2f} in the mean, "
            f"below 0.1 in {share(little, len(found))}"
        )
